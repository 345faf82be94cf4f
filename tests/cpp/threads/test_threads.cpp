// What more than one thread may use at once: requests to stop, the gate of a guest's calls, files, events and
// supervised runs.
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
#include "wasmgrad/abi/host_calls.hpp"
#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/stop.hpp"
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
