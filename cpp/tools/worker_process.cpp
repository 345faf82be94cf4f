#include "wasmgrad/tools/worker_process.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "wasmgrad/base/address_sanitizer.hpp"
#include "wasmgrad/base/write_fully.hpp"

namespace wasmgrad::tools {

namespace {

// Where the child finds its ends.
constexpr int kConfigFd = 3;
constexpr int kEventsFd = 4;
// Ends are moved above this before fork, so that dup2 in the child cannot overwrite one that is still needed.
constexpr int kFirstSpareFd = 10;

Error system_error(const std::string& what) {
  return {Errc::kRuntimeError,
          "cannot start the worker: " + what + ": " + std::generic_category().message(errno)};
}

struct Pipe {
  UniqueFd read, write;
};

Expected<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error("pipe2");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  UniqueFd high(::fcntl(pipe.write.get(), F_DUPFD_CLOEXEC, kFirstSpareFd));
  if (!high) return system_error("fcntl");
  pipe.write = std::move(high);
  ::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK);
  return pipe;
}

// The configuration as an anonymous file, rewound: no pipe that could fill up.
Expected<UniqueFd> make_config_file(const std::string& json) {
  const UniqueFd low(::memfd_create("wasmgrad-config", MFD_CLOEXEC));
  if (!low) return system_error("memfd_create");
  UniqueFd file(::fcntl(low.get(), F_DUPFD_CLOEXEC, kFirstSpareFd));
  if (!file || !write_fully(file.get(), json) || ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return system_error("configuration");
  }
  return file;
}

// The parent's environment, with threads that sleep where they would spin.
std::vector<std::string> make_environment() {
  std::vector<std::string> environment;
  bool has_policy = false;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    environment.emplace_back(*entry);
    has_policy = has_policy || environment.back().starts_with("OMP_WAIT_POLICY=");
  }
  if (!has_policy) environment.emplace_back("OMP_WAIT_POLICY=PASSIVE");
  return environment;
}

void set_limit(__rlimit_resource resource, rlim_t value) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  if (value < limit.rlim_max) limit.rlim_max = value;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(resource, &limit);
}

// What the worker may allocate: what the owner says, else three quarters of what the machine has to spare, so
// that a guest that makes the engine or the training host eat memory is refused memory instead of being
// picked, perhaps with others, by the kernel's out-of-memory killer.
rlim_t memory_limit(std::uint64_t process_bytes) {
  if (kAddressSanitizer) return RLIM_INFINITY;  // its shadow alone is terabytes
  if (process_bytes != 0) return process_bytes;
  std::ifstream info("/proc/meminfo");
  std::string key, unit;
  for (rlim_t kibibytes = 0; info >> key >> kibibytes; std::getline(info, unit)) {
    if (key == "MemAvailable:") return kibibytes * 1024 / 4 * 3;
  }
  return RLIM_INFINITY;
}

// Everything that happens in the child between fork and exec: system calls only.
struct ChildSetup {
  const char* program;
  char* const* argv;
  char* const* environment;
  int config, out, err, events;
  rlim_t file_bytes, memory;
  pid_t parent;

  [[noreturn]] void run() const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::dup2(config, kConfigFd);
    ::dup2(events, kEventsFd);
    ::close_range(kEventsFd + 1, ~0U, 0);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, file_bytes);
    set_limit(RLIMIT_DATA, memory);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::execve(program, argv, environment);
    ::_exit(127);
  }
};

}  // namespace

Expected<WorkerProcess> WorkerProcess::start(const std::filesystem::path& program,
                                             const runner::RunConfig& config) {
  if (::access(program.c_str(), X_OK) != 0) return system_error(program.string());
  WASMGRAD_ASSIGN(const UniqueFd config_file, make_config_file(config.to_json()));
  WASMGRAD_ASSIGN(Pipe out, make_pipe());
  WASMGRAD_ASSIGN(Pipe err, make_pipe());
  WASMGRAD_ASSIGN(Pipe events, make_pipe());

  std::vector<std::string> arguments{program.string(), std::to_string(kConfigFd), std::to_string(kEventsFd)};
  std::vector<std::string> environment = make_environment();
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
  };
  const auto argv = pointers(arguments), envp = pointers(environment);
  const ChildSetup setup{.program = program.c_str(),
                         .argv = argv.data(),
                         .environment = envp.data(),
                         .config = config_file.get(),
                         .out = out.write.get(),
                         .err = err.write.get(),
                         .events = events.write.get(),
                         .file_bytes = config.limits.output_bytes,
                         .memory = memory_limit(config.limits.process_bytes),
                         .parent = ::getpid()};
  WorkerProcess worker;
  worker.pid_ = ::fork();
  if (worker.pid_ == 0) setup.run();
  if (worker.pid_ < 0) return system_error("fork");
  worker.out = std::move(out.read);
  worker.err = std::move(err.read);
  worker.events = std::move(events.read);
  return worker;
}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : out(std::move(other.out)),
      err(std::move(other.err)),
      events(std::move(other.events)),
      pid_(std::exchange(other.pid_, -1)) {}

WorkerProcess::~WorkerProcess() {
  signal(SIGKILL);
  wait();
}

void WorkerProcess::signal(int number) const noexcept {
  if (pid_ > 0) ::kill(pid_, number);
}

ProcessEnd WorkerProcess::wait() noexcept {
  ProcessEnd end;
  if (pid_ <= 0) return end;
  int status = 0;
  rusage usage{};
  while (::wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  end.peak_rss_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  return end;
}

}  // namespace wasmgrad::tools
