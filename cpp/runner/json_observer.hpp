// A run as JSON events, one object a line: what the worker tells its supervisor, and `--json` tells the
// world.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/runner/event_observer.hpp"

namespace wasmgrad::runner {

/// How a run ended.
struct RunEnd {
  std::string_view status;  ///< "ok", "error" or "interrupted"
  int exit_code = 0;
  double seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
};

/// Events that are no training events, as lines with their newline. Text that is not UTF-8 has its bad bytes
/// replaced.
std::string console_event(std::string_view stream, std::string_view text);
std::string error_event(const Error& error);
/// An error event of the kind "guest_exit", with the guest's own code as `exit_code`.
std::string guest_exit_event(std::uint32_t exit_code);
std::string end_event(const RunEnd& end);

class JsonObserver : public EventObserver {
 public:
  /// Writes to `fd`, which stays the caller's. A reader that went away is ignored.
  explicit JsonObserver(int fd) : fd_(fd) {}

  /// Writes a ready line, such as error_event().
  void write_line(std::string_view line) const;

 private:
  void on_event(const Event& event) override;

  int fd_;
};

}  // namespace wasmgrad::runner
