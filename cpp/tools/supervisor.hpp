// Runs a guest in a worker process and survives it: limits, interrupts, crashes and console output end in
// events and an exit code.
//
// It must not know torch or an engine.
#pragma once

#include <filesystem>

#include "wasmgrad/runner/run_config.hpp"

namespace wasmgrad::tools {

/// Where a supervisor writes. The descriptors stay the caller's.
struct Console {
  int out = 1;
  int err = 2;
};

/// Runs `config` in `worker` until it ends and returns the exit code of exit_code.hpp. What `console`
/// receives depends on config.view: the guest's and the host's lines (classic), JSON events (json), or the
/// guest's output alone (quiet). Errors are one sentence on `err`, or an event. While it runs, SIGINT and
/// SIGTERM of this process are taken over: the first lets the worker end cleanly, within the grace time of
/// the limits, the second kills it.
int supervise(const runner::RunConfig& config, const std::filesystem::path& worker, Console console);

}  // namespace wasmgrad::tools
