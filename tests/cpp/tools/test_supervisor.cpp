// Supervised runs with the real worker: whatever a guest does ends with a sentence, an exit code and nothing
// damaged.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "../support.hpp"
#include "wasmgrad/base/address_sanitizer.hpp"
#include "wasmgrad/base/open_beneath.hpp"
#include "wasmgrad/tools/exit_code.hpp"
#include "wasmgrad/tools/supervisor.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::test;
using namespace wasmgrad::tools;
using Json = nlohmann::json;

namespace {

// A directory with the fixture's model in it, in which a guest runs; what the run prints is kept.
struct Run {
  TemporaryDirectory dir;
  runner::RunConfig config;
  std::string out, err;

  Run(const char* guest, std::vector<std::string> args) {
    fs::create_directory(dir / "in");
    fs::copy_file(fs::path(std::getenv("WASMGRAD_TEST_MODELS")) / "linear.pt", dir / "in/model.pt");
    config.guest = fs::path(std::getenv("GUESTS")) / guest;
    config.args = std::move(args);
    config.dirs = {{dir / "in", ".", false}};
    config.training.threads = 1;
    static const TemporaryDirectory cache;
    config.cache_dir = cache.path();
  }

  int supervise(const fs::path& worker = WORKER) {
    const Console console{open("out"), open("err")};
    const int code = tools::supervise(config, worker, console);
    ::close(console.out);
    ::close(console.err);
    out = dir.read("out");
    err = dir.read("err");
    return code;
  }

  // A shell script in place of the worker; $2 is the number of the descriptor for events.
  [[nodiscard]] fs::path hostile_worker(const std::string& script) const {
    dir.write("worker", "#!/bin/sh\n" + script + "\n");
    fs::permissions(dir / "worker", fs::perms::owner_all);
    return dir / "worker";
  }

  [[nodiscard]] std::vector<Json> events() const {
    std::vector<Json> all;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) all.push_back(Json::parse(line));
    return all;
  }

  [[nodiscard]] int open(const char* name) const {
    return ::open((dir / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  }
};

// Runs `run` supervised in a child process whose JSON events are handed to `on_event` with the child's id as
// they come. Returns the child's exit code, or minus its signal. `memory` bounds what the child and the
// worker may allocate, in bytes.
template <class OnEvent>
int supervise_in_child(Run& run, OnEvent on_event) {
  run.config.view = runner::View::kJson;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    ::_exit(tools::supervise(run.config, WORKER, Console{ends[1], run.open("err")}));
  }
  ::close(ends[1]);
  FILE* stream = ::fdopen(ends[0], "r");
  char* line = nullptr;
  std::size_t capacity = 0;
  while (::getline(&line, &capacity, stream) > 0) {
    run.out += line;
    on_event(child, Json::parse(line));
  }
  std::free(line);
  std::fclose(stream);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// The process that `parent` started.
pid_t child_of(pid_t parent) {
  std::ifstream children("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
  pid_t child = 0;
  children >> child;
  return child;
}

// A training that goes on until it is stopped.
struct EndlessTraining : Run {
  EndlessTraining() : Run("train_misuse.wasm", {"none"}) {
    config.training.epochs = 1'000'000'000;
    config.checkpoint = dir / "state";
  }
};

}  // namespace

TEST_CASE("a training run prints its lines in order and exits with 0") {
  Run run("train_misuse.wasm", {"none"});
  REQUIRE_MESSAGE(run.supervise() == kExitOk, run.err);
  CHECK(run.out.starts_with("[Plugin] Preparing train images ... [Done]"));
  CHECK(run.out.ends_with("[Plugin] The trained model is dumped to `trained_model.pt`\ntrain returned\n"));
  CHECK(run.err.empty());
  CHECK(fs::exists(run.dir / "in/trained_model.pt"));
}

TEST_CASE("the JSON view has one event a line and ends with the end") {
  Run run("train_misuse.wasm", {"none"});
  run.config.view = runner::View::kJson;
  CHECK(run.supervise() == kExitOk);
  const auto events = run.events();
  CHECK(events.front().at("event") == "tensor");
  CHECK(events.back().at("event") == "end");
  CHECK(events.back().at("status") == "ok");
  CHECK(events.back().at("peak_rss_bytes") > 0);
  CHECK(std::ranges::any_of(events, [](const Json& event) {
    return event.at("event") == "console" && event.at("text") == "train returned\n";
  }));
}

TEST_CASE("the quiet view shows the guest's output only") {
  Run run("train_misuse.wasm", {"none"});
  run.config.view = runner::View::kQuiet;
  CHECK(run.supervise() == kExitOk);
  CHECK(run.out == "train returned\n");
}

TEST_CASE("a refused call ends with its sentence") {
  Run run("train_misuse.wasm", {"dtype-unknown"});
  CHECK(run.supervise() == kExitError);
  CHECK(run.err.starts_with("wasmgrad-train: train: tensor 0 (train images): dtype 9 is not known"));
  run.config.view = runner::View::kJson;
  CHECK(run.supervise() == kExitError);
  const auto events = run.events();
  CHECK(events.at(events.size() - 2).at("kind") == "invalid_argument");
}

TEST_CASE("a guest's own exit code is told by an event of its own") {
  Run run("misbehave.wasm", {"exit-300"});
  run.config.view = runner::View::kJson;
  CHECK(run.supervise() == 1);  // not 300 % 256
  const auto events = run.events();
  REQUIRE(events.size() == 3);
  CHECK(events.at(0).at("event") == "usage");
  CHECK(events.at(1).at("kind") == "guest_exit");
  CHECK(events.at(1).at("exit_code") == 300);
  CHECK(events.at(2).at("status") == "error");
}

TEST_CASE("each way to go wrong has its exit code and sentence") {
  struct Case {
    const char* mode;
    int code;
    const char* message;
  };
  for (const Case& c : {Case{"exit-3", 3, "the guest exited with code 3"},
                        {"trap", kExitError, "trapped: unreachable"},
                        {"recurse", kExitError, "trapped: out of bounds memory access"},
                        {"recurse-native", kExitError,
                         "the guest crashed the engine (SIGSEGV): most often its call stack overflowed"}}) {
    CAPTURE(c.mode);
    Run run("misbehave.wasm", {c.mode});
    CHECK(run.supervise() == c.code);
    CHECK_MESSAGE(run.err.find(c.message) != std::string::npos, run.err);
  }
}

TEST_CASE("a guest that makes the interpreter eat memory is refused memory" *
          doctest::skip(kAddressSanitizer)) {
  Run run("misbehave.wasm", {"recurse-native"});
  run.config.interpret = true;
  run.config.limits.process_bytes = std::uint64_t{2} << 30;
  CHECK(run.supervise() == kExitError);
  CHECK_MESSAGE(run.err.find("most often memory ran out") != std::string::npos, run.err);
}

TEST_CASE("a guest that loops for ever is stopped at the time limit") {
  Run run("misbehave.wasm", {"loop"});
  run.config.limits.wall_seconds = 1;
  CHECK(run.supervise() == kExitTimeLimit);
  CHECK(run.err == "wasmgrad-train: the run took longer than its time limit of 1 s\n");
  run.config.view = runner::View::kJson;
  CHECK(run.supervise() == kExitTimeLimit);
  CHECK(run.events().front().at("kind") == "timeout");
  CHECK(run.events().back().at("exit_code") == kExitTimeLimit);
}

TEST_CASE("a guest that floods the console is stopped") {
  Run run("misbehave.wasm", {"flood"});
  run.config.limits.output_bytes = 1'000'000;
  CHECK(run.supervise() == kExitError);
  CHECK(run.err == "wasmgrad-train: the guest wrote more than its limit of 1000000 bytes to the console\n");
  CHECK(run.out.size() <= 1'000'000);
}

TEST_CASE("files, memory and handles are limited") {
  Run files("misbehave.wasm", {"fill-disk"});
  files.config.limits.output_bytes = 1'000'000;
  CHECK(files.supervise() == 1);
  CHECK(fs::file_size(files.dir / "in/filler") <= 1'000'000);

  Run memory("misbehave.wasm", {"grow"});
  memory.config.limits.memory_pages = 1000;
  CHECK(memory.supervise() == 1);
  CHECK_MESSAGE(memory.err.find("memory stopped at ") == 0, memory.err);

  Run many("misbehave.wasm", {"open-many"});
  many.config.limits.open_files = 32;
  CHECK(many.supervise() == 1);
  CHECK(many.err.starts_with("refused after 32 files\n"));
}

TEST_CASE("a model that would pass the output limit leaves nothing behind") {
  Run run("train_misuse.wasm", {"none"});
  run.config.limits.output_bytes = 2000;
  CHECK(run.supervise() == kExitError);
  CHECK_MESSAGE(run.err.find("the file would pass the output limit") != std::string::npos, run.err);
  CHECK(std::distance(fs::directory_iterator(run.dir / "in"), {}) == 1);
}

TEST_CASE("a worker or a guest that is not there is told") {
  Run run("misbehave.wasm", {});
  CHECK(tools::supervise(run.config, "/no/such/worker", Console{run.open("out"), run.open("err")}) ==
        kExitError);
  CHECK(run.dir.read("err").find("/no/such/worker") != std::string::npos);
  Run guestless("missing.wasm", {});
  CHECK(guestless.supervise() == kExitError);
  CHECK(guestless.err.find("missing.wasm' does not exist") != std::string::npos);
}

TEST_CASE("a worker that was taken over may send what it likes") {
  const std::pair<const char*, const char*> kLines[] = {
      {"no JSON", "'event' is not a text"},
      {"[1]", "'event' is not a text"},
      {R"({"event": 1})", "'event' is not a text"},
      {R"({"event": "error", "kind": "security", "message": {}})", "'message' is not a text"},
      {R"({"event": "error", "kind": [], "message": "m"})", "'kind' is not a text"},
      {R"({"event": "end", "exit_code": "0"})", "'exit_code' is not an integer in 0..255"},
      {R"({"event": "end", "exit_code": 256})", "'exit_code' is not an integer in 0..255"},
      {R"({"event": "end", "exit_code": 18446744073709551615})", "'exit_code' is not an integer in 0..255"},
  };
  for (const auto& [line, sentence] : kLines) {
    CAPTURE(line);
    Run run("misbehave.wasm", {});
    CHECK(run.supervise(run.hostile_worker("printf '%s\\n' '" + std::string(line) + "' >&$2")) == kExitError);
    CHECK(run.err == "wasmgrad-train: the worker sent an event whose " + std::string(sentence) + "\n");
  }
}

TEST_CASE("what a killed worker has started is not waited for") {
  Run run("misbehave.wasm", {});
  const fs::path fifo = run.dir / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const UniqueFd held(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));  // `cat` ends when it is closed
  const fs::path worker = run.hostile_worker("cat '" + fifo.string() + "' &\necho nonsense >&$2\nwait");
  CHECK(run.supervise(worker) == kExitError);
}

TEST_CASE("a run that goes on after an interrupt is killed when its grace time is over") {
  Run run("misbehave.wasm", {});
  run.config.limits.grace_seconds = 0.2;
  const std::string script = "trap '' INT\nkill -INT $PPID\nexec sleep 100";
  CHECK(run.supervise(run.hostile_worker(script)) == kExitInterrupted);
  CHECK(
      run.err ==
      "wasmgrad-train: the run was interrupted, and killed because it had not ended after its grace time of "
      "0.2 s\n");
}

TEST_CASE("an interrupt ends a training with a checkpoint, from which it resumes") {
  EndlessTraining run;
  bool sent = false;
  const int code = supervise_in_child(run, [&](pid_t supervisor, const Json& event) {
    if (event.at("event") == "epoch" && !sent) sent = ::kill(supervisor, SIGINT) == 0;
  });
  CHECK(code == kExitInterrupted);
  CHECK(run.events().back().at("status") == "interrupted");
  REQUIRE(fs::exists(run.dir / "state"));
  CHECK_FALSE(fs::exists(run.dir / "in/trained_model.pt"));

  // A resumed run has to agree about what it resumes: one more epoch than were done.
  std::int64_t done = 0;
  for (const Json& event : run.events()) {
    if (event.at("event") == "checkpoint") done = event.at("epoch");
  }
  Run resumed("train_misuse.wasm", {"none"});
  resumed.config.training.epochs = done + 1;
  resumed.config.resume = run.dir / "state";
  resumed.config.view = runner::View::kJson;
  CHECK_MESSAGE(resumed.supervise() == kExitOk, resumed.out);
}

TEST_CASE("an interrupt ends a guest that is not training at once") {
  Run run("misbehave.wasm", {"flood"});
  run.config.limits.output_bytes = std::uint64_t{1} << 40;
  bool sent = false;
  const int code = supervise_in_child(run, [&](pid_t supervisor, const Json&) {
    if (!sent) sent = ::kill(supervisor, SIGTERM) == 0;
  });
  CHECK(code == kExitInterrupted);
}

TEST_CASE("a worker killed while it writes checkpoints leaves a whole one") {
  for (int round = 1; round <= 5; ++round) {
    CAPTURE(round);
    EndlessTraining run;
    int checkpoints = 0;
    const int code = supervise_in_child(run, [&](pid_t supervisor, const Json& event) {
      if (event.at("event") == "checkpoint" && ++checkpoints == 3 * round)
        ::kill(child_of(supervisor), SIGKILL);
    });
    CHECK(code == kExitError);
    CHECK(run.events().at(run.events().size() - 2).at("message").get<std::string>().find("SIGKILL") !=
          std::string::npos);
    Run resumed("train_misuse.wasm", {"none"});
    resumed.config.training.epochs = 0;
    resumed.config.resume = run.dir / "state";
    CHECK_MESSAGE(resumed.supervise() == kExitOk, resumed.err);
  }
}

TEST_CASE("the worker dies with its supervisor") {
  EndlessTraining run;
  pid_t worker = 0;
  const int code = supervise_in_child(run, [&](pid_t supervisor, const Json& event) {
    if (event.at("event") != "epoch" || worker != 0) return;
    worker = child_of(supervisor);
    ::kill(supervisor, SIGKILL);
  });
  CHECK(code == -SIGKILL);
  // The event pipe has closed, so nobody holds its writing end; the worker is gone or about to be reaped.
  REQUIRE(worker > 0);
  for (int i = 0; i < 1'000'000 && ::kill(worker, 0) == 0; ++i) ::sched_yield();
  std::ifstream status("/proc/" + std::to_string(worker) + "/stat");
  std::string pid, name, state;
  status >> pid >> name >> state;
  CHECK((state.empty() || state == "Z"));
}

TEST_CASE("the supervisor keeps no file descriptors and no children") {
  const auto descriptors = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); };
  const auto before = descriptors();
  Run run("misbehave.wasm", {"exit-3"});
  run.supervise();
  CHECK(descriptors() == before);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}
