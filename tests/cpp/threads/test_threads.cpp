// What more than one thread may use at once: requests to stop, the gate of a guest's calls, files, events,
// observed and supervised runs.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <vector>

#include "../support.hpp"
#include "wasmgrad/abi/call_gate.hpp"
#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/runner/classic_observer.hpp"
#include "wasmgrad/runner/json_observer.hpp"
#include "wasmgrad/tools/exit_code.hpp"
#include "wasmgrad/tools/supervisor.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

constexpr int kThreads = 4;

// Runs `work(0)` ... `work(kThreads - 1)` at the same time.
void at_once(const std::function<void(int)>& work) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
}

int open_output(const fs::path& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

}  // namespace

TEST_CASE("a loop ends when another thread asks it to") {
  StopToken stop;
  std::atomic<bool> ended = false;
  std::jthread loop([&] {
    const StopToken::Polling polling(&stop);
    while (!stop.requested()) std::this_thread::yield();
    ended = true;
  });
  while (!stop.polled()) std::this_thread::yield();
  stop.request();
  loop.join();
  CHECK(ended);
  CHECK_FALSE(stop.polled());
}

TEST_CASE("calls of one guest are done one at a time or refused") {
  abi::CallGate gate;
  std::int64_t inside = 0;  // without a lock: the gate is one
  std::atomic<std::int64_t> done = 0, refused = 0;
  at_once([&](int) {
    for (int i = 0; i < 1000; ++i) {
      const Status status = gate.run([&] {
        ++inside;
        return Status();
      });
      ++(status ? done : refused);
    }
  });
  CHECK(done + refused == 1000 * kThreads);
  CHECK(inside == done);
  CHECK(gate.calls() == static_cast<std::uint64_t>(done));
}

TEST_CASE("the last error is a whole sentence whoever sets it") {
  abi::LastError last;
  last.set(std::string(100, '0'));
  std::atomic<int> torn = 0;
  at_once([&](int thread) {
    for (int i = 0; i < 500; ++i) {
      last.set(std::string(100, static_cast<char>('0' + thread)));
      const std::string text = last.get();
      if (text != std::string(100, text.at(0))) ++torn;
    }
  });
  CHECK(torn == 0);
}

TEST_CASE("a file that several threads write is one of theirs") {
  const TemporaryDirectory dir;
  std::atomic<int> failed = 0;
  at_once([&](int thread) {
    const std::string text(10000, static_cast<char>('a' + thread));
    for (int i = 0; i < 20; ++i) {
      if (!write_file_atomic(dir / "file", bytes_of(text))) ++failed;
    }
  });
  CHECK(failed == 0);
  const std::string text = dir.read("file");
  CHECK(text == std::string(10000, text.at(0)));
  CHECK(dir.count() == 1);
}

TEST_CASE("events of several threads are whole lines") {
  const TemporaryDirectory dir;
  const int fd = open_output(dir / "events");
  const runner::JsonObserver observer(fd);
  at_once([&](int thread) {
    for (int i = 0; i < 100; ++i) {
      observer.write_line(runner::console_event("stdout", "thread " + std::to_string(thread) + "\n"));
    }
  });
  ::close(fd);
  std::istringstream lines(dir.read("events"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) CHECK(nlohmann::json::accept(line));
  CHECK(count == 100 * kThreads);
}

// The threads of a worker and of those who watch it: one trains and reports to both observers, one reads the
// events and asks it to stop.
TEST_CASE("a run that is observed ends when the reader of its events asks it to") {
  std::array<int, 2> events{};
  REQUIRE(::pipe2(events.data(), O_CLOEXEC) == 0);
  const TemporaryDirectory dir;
  const int console = open_output(dir / "console");
  StopToken stop;
  std::jthread worker([&, out = events[1]] {
    const StopToken::Polling polling(&stop);
    runner::JsonObserver json(out);
    runner::ClassicObserver classic(console);
    training::TrainerOptions options;
    training::FitInfo info;
    info.options = &options;
    training::FitReport report;
    const std::array<training::Observer*, 2> observers{&json, &classic};
    for (training::Observer* observer : observers) observer->on_classes(3), observer->on_fit_begin(info);
    for (std::int64_t epoch = 1; !stop.requested(); ++epoch) {
      for (training::Observer* observer : observers) {
        observer->on_progress({epoch, 1, 1, 0.5, 0.25, 100});
        training::EpochReport report;
        report.epoch = epoch;
        report.learning_rate = 0.1;
        observer->on_epoch(report);
        observer->on_checkpoint("state", epoch);
      }
    }
    report.interrupted = true;
    for (training::Observer* observer : observers) observer->on_fit_end(report);
    ::close(out);
  });

  std::int64_t epochs = 0;
  bool interrupted = false;
  std::string pending;
  std::array<char, 256> buffer{};
  for (ssize_t got = 0; (got = ::read(events[0], buffer.data(), buffer.size())) > 0;) {
    pending.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      const auto event = nlohmann::json::parse(pending.substr(0, end));
      epochs += event["event"] == "epoch";
      interrupted = event["event"] == "fit_end" && event["interrupted"] == true;
      if (epochs == 20) stop.request();
    }
  }
  worker.join();
  ::close(events[0]);
  ::close(console);
  CHECK(epochs >= 20);
  CHECK(interrupted);
  CHECK(pending.empty());
  CHECK(dir.read("console").find("Interrupted") != std::string::npos);
}

TEST_CASE("runs that are supervised at the same time keep their output apart") {
  const TemporaryDirectory dir;
  dir.write("worker",
            "#!/bin/sh\ncat <&3 | grep -o 'guest-[0-9]' | head -1\n"
            "echo '{\"event\": \"end\", \"status\": \"ok\", \"exit_code\": 0}' >&4\n");
  fs::permissions(dir / "worker", fs::perms::owner_all);
  std::array<int, kThreads> codes{};
  at_once([&](int thread) {
    const std::string name = "guest-" + std::to_string(thread);
    runner::RunConfig config;
    config.guest = name;
    const tools::Console console{open_output(dir / (name + ".out")), open_output(dir / (name + ".err"))};
    codes[static_cast<std::size_t>(thread)] = tools::supervise(config, dir / "worker", console);
    ::close(console.out);
    ::close(console.err);
  });
  for (int thread = 0; thread < kThreads; ++thread) {
    const std::string name = "guest-" + std::to_string(thread);
    CAPTURE(dir.read(name + ".err"));
    CHECK(codes[static_cast<std::size_t>(thread)] == tools::kExitOk);
    CHECK(dir.read(name + ".out") == name + "\n");
  }
}
