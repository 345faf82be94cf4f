// The command line of wasmgrad-train as a RunConfig.
#pragma once

#include <optional>
#include <string>

#include "wasmgrad/runner/run_config.hpp"

namespace wasmgrad::tools {

/// What a command line asks for: a run, or only an exit code with a text that has been printed (help,
/// version, a usage error).
struct CommandLine {
  std::optional<runner::RunConfig> config;
  int exit_code = 0;
  std::optional<int> parent;  ///< the process with whose end the run shall end
  bool from_file = false;     ///< the configuration came by --config
};

/// Prints help and the version to the standard output, usage errors to the standard error.
CommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace wasmgrad::tools
