// wasmgrad-worker CONFIG_FD EVENTS_FD: one run, in this process. Started by a supervisor, which reads the
// events and survives whatever the guest does to this process.
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/runner/classic_observer.hpp"
#include "wasmgrad/runner/group.hpp"
#include "wasmgrad/runner/json_observer.hpp"
#include "wasmgrad/runner/runner.hpp"
#include "wasmgrad/tools/exit_code.hpp"
#include "wasmgrad/training/torch/tune_process.hpp"

namespace {

using namespace wasmgrad;

StopToken stop_token;
std::atomic<bool> time_is_up = false;

// While a training loop polls the token it ends cleanly by itself; at any other time nothing would be lost.
void on_stop_signal(int /*signal*/) {
  stop_token.request();
  if (!stop_token.polled()) ::_exit(tools::kExitInterrupted);
}

// All processes of a group end at the same step; the supervisor kills what does not.
void on_alarm(int /*signal*/) {
  time_is_up = true;
  stop_token.request();
}

void stop_after(double seconds) {
  struct sigaction action{};
  action.sa_handler = on_alarm;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
  itimerval timer{};
  timer.it_value.tv_sec = static_cast<time_t>(seconds);
  timer.it_value.tv_usec = static_cast<suseconds_t>((seconds - std::floor(seconds)) * 1e6);
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

void handle_signals() {
  struct sigaction action{};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // A file that would grow past its limit, or a reader that is gone, is an error value instead.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

std::string read_to_end(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, got);
  ::close(fd);
  return text;
}

Expected<runner::RunReport> run(const std::string& json, training::Observer& events) {
  WASMGRAD_ASSIGN(runner::RunConfig config, runner::RunConfig::from_json(json));
  WASMGRAD_ASSIGN(const auto group, runner::join_group(config));
  if (group != nullptr && config.limits.wall_seconds > 0) stop_after(config.limits.wall_seconds);
  runner::ClassicObserver classic(STDOUT_FILENO);
  training::Observer* observer = nullptr;
  // What the processes do together is told a person once.
  const bool is_first = group == nullptr || group->rank() == 0;
  if (config.view == runner::View::kClassic && is_first) observer = &classic;
  if (config.view == runner::View::kJson) observer = &events;
  auto report = runner::run(config, observer, &stop_token, runner::Process::kOwn, group.get());
  if (!report && report.error().code == Errc::kInterrupted && time_is_up)
    return Error{Errc::kTimeout, "the time limit was reached: " + report.error().message};
  return report;
}

int parse_fd(const char* text) {
  int fd = -1;
  const char* end = text + std::strlen(text);
  return std::from_chars(text, end, fd).ptr == end ? fd : -1;
}

}  // namespace

int main(int argc, char** argv) {
  const int config_fd = argc == 3 ? parse_fd(argv[1]) : -1;
  const int events_fd = argc == 3 ? parse_fd(argv[2]) : -1;
  if (config_fd < 0 || events_fd < 0) {
    std::fputs("usage: wasmgrad-worker CONFIG_FD EVENTS_FD (it is started by wasmgrad-train)\n", stderr);
    return tools::kExitUsage;
  }
  const auto start = std::chrono::steady_clock::now();
  handle_signals();
  training::tune_process();
  runner::JsonObserver events(events_fd);

  const auto report = run(read_to_end(config_fd), events);
  runner::RunEnd end;
  if (report) {
    end.exit_code = tools::exit_code_of_guest(report->exit_code);
    end.status = end.exit_code == 0 ? "ok" : "error";
    if (end.exit_code != 0) events.write_line(runner::guest_exit_event(report->exit_code));
  } else {
    end.exit_code = tools::exit_code_of(report.error().code);
    end.status = report.error().code == Errc::kInterrupted ? "interrupted" : "error";
    events.write_line(runner::error_event(report.error()));
  }
  end.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  end.peak_rss_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  events.write_line(runner::end_event(end));
  // Everything is written: tearing down torch's and the engine's global state would only cost time.
  ::_exit(end.exit_code);
}
