#include "wasmgrad/tools/supervisor.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "wasmgrad/runner/json_observer.hpp"
#include "wasmgrad/tools/error_file.hpp"
#include "wasmgrad/tools/exit_code.hpp"
#include "wasmgrad/tools/worker_process.hpp"

namespace wasmgrad::tools {

namespace {

using Clock = std::chrono::steady_clock;

// SIGINT and SIGTERM as a file descriptor, and SIGPIPE ignored, for as long as it lives.
class StopSignals {
 public:
  StopSignals() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGINT);
    ::sigaddset(&set, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set, &mask_);
    fd_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    pipe_action_ = std::signal(SIGPIPE, SIG_IGN);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals() {
    while (taken() > 0) {
    }
    std::signal(SIGPIPE, pipe_action_);
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // Signals that arrived since the last call.
  [[nodiscard]] int taken() const noexcept {
    signalfd_siginfo info{};
    int count = 0;
    while (::read(fd_.get(), &info, sizeof info) == sizeof info) ++count;
    return count;
  }

 private:
  sigset_t mask_{};
  UniqueFd fd_;
  void (*pipe_action_)(int) = SIG_DFL;
};

// Bytes cut into lines; a line that does not end comes in pieces.
class LineSplitter {
 public:
  template <class Take>
  void add(std::string_view bytes, Take take) {
    pending_ += bytes;
    std::size_t begin = 0;
    for (std::size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      take(std::string_view(pending_).substr(begin, end + 1 - begin));
    }
    pending_.erase(0, begin);
    if (pending_.size() >= kMaxLine) flush(take);
  }
  template <class Take>
  void flush(Take take) {
    if (!pending_.empty()) take(pending_);
    pending_.clear();
  }

 private:
  static constexpr std::size_t kMaxLine = std::size_t{1} << 20;
  std::string pending_;
};

Clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

std::string shown_seconds(double seconds) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%g s", seconds);
  return text.data();
}

std::string sentence_for_signal(int number) {
  const std::string name =
      "SIG" + std::string(::sigabbrev_np(number) != nullptr ? ::sigabbrev_np(number) : "?");
  switch (number) {
    case SIGSEGV:
    case SIGBUS:
      return "the guest crashed the engine (" + name + "): most often its call stack overflowed";
    case SIGABRT:
      return "the engine gave up (" + name +
             "): most often memory ran out, or the guest's call stack overflowed";
    case SIGKILL:
      return "the worker was killed from outside (" + name +
             "): most often because the machine ran out of memory";
    default:
      return "the worker was ended by the signal " + name;
  }
}

// The fields of an event. Whoever took over the worker may have written anything.
Error malformed(const char* key, const char* expected) {
  return {Errc::kRuntimeError,
          "the worker sent an event whose '" + std::string(key) + "' is not " + expected};
}

Expected<std::string> text_in(const nlohmann::json& event, const char* key) {
  const auto found = event.find(key);
  if (found == event.end() || !found->is_string()) return malformed(key, "a text");
  return found->get<std::string>();
}

Expected<int> exit_code_in(const nlohmann::json& event) {
  const auto found = event.find("exit_code");
  const auto code = found != event.end() && found->is_number_integer() ? found->get<std::int64_t>() : -1;
  if (code < 0 || code > 255) return malformed("exit_code", "an integer in 0..255");
  return static_cast<int>(code);
}

// One supervised run.
class Supervisor {
 public:
  Supervisor(const runner::RunConfig& config, Console console)
      : config_(config), console_(console), json_(config.view == runner::View::kJson) {
    // The worker of a distributed training ends by itself then, at the same step as the others.
    const double grace = config.distributed ? config.limits.grace_seconds : 0;
    if (config.limits.wall_seconds > 0) deadline_ = start_ + to_duration(config.limits.wall_seconds + grace);
  }

  int run(const std::filesystem::path& program) {
    const StopSignals signals;
    auto started = WorkerProcess::start(program, config_);
    if (!started) {
      report(started.error());
      return end({}, kExitError, "error");
    }
    WorkerProcess worker = std::move(started).value();
    while (worker.events && !killed_) step(worker, signals);
    // The worker is gone; what it wrote may still be in the pipes.
    while ((worker.out || worker.err) && within_output_limit() && drain_ready(worker)) {
    }
    const auto take_console = [&](const char* stream) {
      return
          [this, stream](std::string_view text) { emit(console_.out, runner::console_event(stream, text)); };
    };
    out_lines_.flush(take_console("stdout"));
    err_lines_.flush(take_console("stderr"));
    return finish(worker.wait());
  }

 private:
  // Waits for something to happen and handles it.
  void step(WorkerProcess& worker, const StopSignals& signals) {
    std::array<pollfd, 4> polled{{{worker.out.get(), POLLIN, 0},
                                  {worker.err.get(), POLLIN, 0},
                                  {worker.events.get(), POLLIN, 0},
                                  {signals.fd(), POLLIN, 0}}};
    ::poll(polled.data(), polled.size(), milliseconds_left());
    // Console output first: an event must not overtake what the guest wrote before it.
    if (polled[0].revents != 0) take_console(worker, worker.out, "stdout");
    if (polled[1].revents != 0) take_console(worker, worker.err, "stderr");
    if (polled[2].revents != 0) take_events(worker);
    for (int i = signals.taken(); i > 0; --i) interrupt(worker);
    if (deadline_ && Clock::now() >= *deadline_) {
      stop(worker, {Errc::kTimeout, "the run took longer than its time limit of " +
                                        shown_seconds(config_.limits.wall_seconds)});
    }
    if (grace_end_ && Clock::now() >= *grace_end_) {
      stop(worker, {Errc::kInterrupted,
                    "the run was interrupted, and killed because it had not ended after its "
                    "grace time of " +
                        shown_seconds(config_.limits.grace_seconds)});
    }
  }

  // Takes what is left in the console pipes; false when there is nothing more to wait for.
  bool drain_ready(WorkerProcess& worker) {
    std::array<pollfd, 2> polled{{{worker.out.get(), POLLIN, 0}, {worker.err.get(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), 0) <= 0) return false;
    if (polled[0].revents != 0) take_console(worker, worker.out, "stdout");
    if (polled[1].revents != 0) take_console(worker, worker.err, "stderr");
    return true;
  }

  void take_console(WorkerProcess& worker, UniqueFd& from, const char* stream) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return from.reset();
    const std::string_view text(buffer.data(), static_cast<std::size_t>(got));
    console_bytes_ += text.size();
    if (!within_output_limit()) {
      return stop(worker, {Errc::kTooLarge, "the guest wrote more than its limit of " +
                                                std::to_string(config_.limits.output_bytes) +
                                                " bytes to the console"});
    }
    const bool is_out = &from == &worker.out;
    bool taken = true;
    if (json_) {
      (is_out ? out_lines_ : err_lines_).add(text, [&](std::string_view line) {
        taken = emit(console_.out, runner::console_event(stream, line)) && taken;
      });
    } else {
      taken = emit(is_out ? console_.out : console_.err, text);
    }
    // Nobody reads any more: let the run end as if interrupted.
    if (!taken && interrupts_ == 0) interrupt(worker);
  }

  void take_events(WorkerProcess& worker) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(worker.events.get(), buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return worker.events.reset();
    event_lines_.add({buffer.data(), static_cast<std::size_t>(got)}, [&](std::string_view line) {
      if (const Status status = take_event(line); !status) stop(worker, status.error());
    });
  }

  // Errors and the end are kept until the console is drained; the rest is passed on.
  Status take_event(std::string_view line) {
    const auto event = nlohmann::json::parse(line, nullptr, false);
    WASMGRAD_ASSIGN(const std::string name, text_in(event, "event"));
    if (name == "error") {
      WASMGRAD_CHECK(text_in(event, "kind"));
      WASMGRAD_ASSIGN(error_message_, text_in(event, "message"));
      error_line_ = line;
    } else if (name == "end") {
      WASMGRAD_ASSIGN(end_code_, exit_code_in(event));
      end_line_ = line;
    } else if (json_) {
      emit(console_.out, line);
    }
    return {};
  }

  // The first one lets the worker end by itself, for a while.
  void interrupt(WorkerProcess& worker) {
    if (++interrupts_ > 1) return kill(worker);
    worker.signal(SIGINT);
    grace_end_ = Clock::now() + to_duration(config_.limits.grace_seconds);
  }

  // The supervisor's own verdict, once; the worker does not live on.
  void stop(WorkerProcess& worker, Error error) {
    if (!verdict_) verdict_ = std::move(error);
    kill(worker);
  }

  // Nothing that the worker may have started is waited for.
  void kill(WorkerProcess& worker) {
    worker.signal(SIGKILL);
    killed_ = true;
  }

  [[nodiscard]] bool within_output_limit() const { return console_bytes_ <= config_.limits.output_bytes; }

  int finish(const ProcessEnd& process) {
    const bool killed = process.signal != 0;
    if (verdict_) {
      report(*verdict_);
      if (verdict_->code == Errc::kInterrupted) return end(process, kExitInterrupted, "interrupted");
      return end(process, verdict_->code == Errc::kTimeout ? kExitTimeLimit : kExitError, "error");
    }
    if (!end_line_.empty()) {
      if (!error_line_.empty() && json_) emit(console_.out, error_line_);
      if (!error_message_.empty()) tell_launcher(error_message_);
      if (!error_message_.empty() && !json_) emit_sentence(error_message_);
      if (json_) emit(console_.out, end_line_);
      return end_code_;
    }
    if (interrupts_ > 0 && (killed || process.exit_code == kExitInterrupted)) {
      report({Errc::kInterrupted, "the run was interrupted"});
      return end(process, kExitInterrupted, "interrupted");
    }
    if (killed) {
      report({Errc::kRuntimeError, sentence_for_signal(process.signal)});
    } else {
      report({Errc::kRuntimeError, "the worker ended with exit code " + std::to_string(process.exit_code) +
                                       " before the guest's run was over"});
    }
    return end(process, kExitError, "error");
  }

  int end(const ProcessEnd& process, int code, std::string_view status) {
    if (json_) {
      const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
      emit(console_.out, runner::end_event({status, code, seconds, process.peak_rss_bytes}));
    }
    return code;
  }

  // Whoever started the processes of a distributed training.
  void tell_launcher(const std::string& message) const {
    if (config_.distributed) write_error_file(message);
  }

  void report(const Error& error) {
    tell_launcher(error.message);
    if (json_) {
      emit(console_.out, runner::error_event(error));
    } else {
      emit_sentence(error.message);
    }
  }

  void emit_sentence(const std::string& message) { emit(console_.err, "wasmgrad-train: " + message + "\n"); }

  // Writes without waiting past the deadline for a reader that does not read. False when the text was not
  // taken.
  bool emit(int fd, std::string_view text) const {
    // A pipe that is ready takes this much without blocking.
    constexpr std::size_t kChunk = 4096;
    while (!text.empty()) {
      pollfd ready{fd, POLLOUT, 0};
      const int count = ::poll(&ready, 1, milliseconds_left());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      const ssize_t put = ::write(fd, text.data(), std::min(text.size(), kChunk));
      if (put < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (put < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
  }

  // For poll(): -1 without a deadline.
  [[nodiscard]] int milliseconds_left() const {
    auto first = deadline_;
    if (grace_end_ && (!first || *grace_end_ < *first)) first = grace_end_;
    if (!first) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*first - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000));
  }

  const runner::RunConfig& config_;
  Console console_;
  bool json_;
  Clock::time_point start_ = Clock::now();
  std::optional<Clock::time_point> deadline_, grace_end_;
  LineSplitter out_lines_, err_lines_, event_lines_;
  std::uint64_t console_bytes_ = 0;
  int interrupts_ = 0;
  bool killed_ = false;
  std::optional<Error> verdict_;
  std::string error_line_, error_message_, end_line_;
  int end_code_ = kExitError;
};

}  // namespace

int supervise(const runner::RunConfig& config, const std::filesystem::path& worker, Console console) {
  return Supervisor(config, console).run(worker);
}

}  // namespace wasmgrad::tools
