// The options of wasmgrad-train that limit a run.
#pragma once

#include "wasmgrad/runner/run_config.hpp"

namespace CLI {
class App;
}

namespace wasmgrad::tools {

/// `limits` outlives the parsing. Ranges are checked with the whole configuration.
void add_limit_options(CLI::App& app, runner::Limits& limits);

}  // namespace wasmgrad::tools
