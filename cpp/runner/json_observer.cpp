#include "wasmgrad/runner/json_observer.hpp"

#include <nlohmann/json.hpp>

#include "wasmgrad/base/write_fully.hpp"

namespace wasmgrad::runner {

namespace {

// nlohmann prints non-finite numbers as null, which is what the events want.
std::string line(const Event& event) {
  return event.dump(-1, ' ', false, Event::error_handler_t::replace) + "\n";
}

}  // namespace

std::string console_event(std::string_view stream, std::string_view text) {
  return line({{"event", "console"}, {"stream", stream}, {"text", text}});
}

std::string error_event(const Error& error) {
  return line({{"event", "error"}, {"kind", errc_name(error.code)}, {"message", error.message}});
}

std::string guest_exit_event(std::uint32_t exit_code) {
  return line({{"event", "error"},
               {"kind", "guest_exit"},
               {"message", "the guest exited with code " + std::to_string(exit_code)},
               {"exit_code", exit_code}});
}

std::string end_event(const RunEnd& end) {
  return line({{"event", "end"},
               {"status", end.status},
               {"exit_code", end.exit_code},
               {"seconds", end.seconds},
               {"peak_rss_bytes", end.peak_rss_bytes}});
}

void JsonObserver::write_line(std::string_view line) const { write_fully(fd_, line); }

void JsonObserver::on_event(const Event& event) { write_line(line(event)); }

}  // namespace wasmgrad::runner
