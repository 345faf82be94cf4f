// A worker process: started with its limits, watched through pipes. It must not know what the pipes carry.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "wasmgrad/base/open_beneath.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/runner/run_config.hpp"

namespace wasmgrad::tools {

/// How a process ended.
struct ProcessEnd {
  int exit_code = 0;
  int signal = 0;  ///< 0: it exited by itself
  std::uint64_t peak_rss_bytes = 0;
};

/// A running wasmgrad-worker and the reading ends of its pipes, which do not block. Destroying it kills the
/// process.
class WorkerProcess {
 public:
  /// Starts `program`. The child has no other file descriptors than standard input, the pipes and its
  /// configuration; it dies with this process; it writes no core file; its memory and the
  /// size of its files are limited. Errors: kRuntimeError.
  static Expected<WorkerProcess> start(const std::filesystem::path& program, const runner::RunConfig& config);
  WorkerProcess(WorkerProcess&& other) noexcept;
  WorkerProcess& operator=(WorkerProcess&&) = delete;
  ~WorkerProcess();

  void signal(int number) const noexcept;
  /// Waits until it has ended.
  ProcessEnd wait() noexcept;

  UniqueFd out, err, events;

 private:
  WorkerProcess() = default;
  pid_t pid_ = -1;
};

}  // namespace wasmgrad::tools
