// The options of wasmgrad-train about the processes that train together.
#pragma once

#include <CLI/CLI.hpp>

#include "wasmgrad/runner/run_config.hpp"

namespace wasmgrad::tools {

/// `wanted`: whether there are such processes; `how` counts then only.
void add_distributed_options(CLI::App& app, bool& wanted, runner::Distributed& how);

}  // namespace wasmgrad::tools
