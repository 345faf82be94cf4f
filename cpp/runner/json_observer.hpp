// A run as JSON events, one object a line: what the worker tells its supervisor, and `--json` tells the
// world.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/loop/observer.hpp"

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

class JsonObserver : public training::Observer {
 public:
  /// Writes to `fd`, which stays the caller's. A reader that went away is ignored.
  explicit JsonObserver(int fd) : fd_(fd) {}

  void on_tensor(std::string_view role, const TensorView& tensor, double seconds) override;
  void on_classes(std::int64_t classes) override { classes_ = classes; }
  void on_fit_begin(const training::FitInfo& info) override;
  void on_initial(const training::Metrics& metrics) override;
  void on_progress(const training::Progress& progress) override;
  void on_epoch(const training::EpochReport& report) override;
  void on_steps(const training::StepsReport& report) override;
  void on_evaluation(const training::Metrics& metrics, std::int64_t step) override;
  void on_checkpoint(std::string_view path, std::int64_t epoch) override;
  void on_fit_end(const training::FitReport& report) override;
  void on_failure(const training::TrainingFailure& failure) override;
  void on_warning(std::string_view message) override;
  void on_model_saved(std::string_view path, std::uint64_t bytes) override;
  void on_usage(const training::Usage& usage) override;

  /// Writes a ready line, such as error_event().
  void write_line(std::string_view line) const;

 private:
  int fd_;
  std::int64_t classes_ = 0;  // as on_classes() said
};

}  // namespace wasmgrad::runner
