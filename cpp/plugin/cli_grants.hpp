// The directories that the stock `wasmedge` program gives to its guest, read from its command line: a plugin
// is not told them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/file.hpp"

namespace wasmgrad::plugin {

/// The `--dir` options among `arguments` (argv, the program first) up to the name of the wasm file, in
/// WasmEdge's notation GUEST:HOST[:readonly] or DIR. What does not parse grants nothing.
std::vector<Preopen> parse_cli_grants(std::span<const std::string> arguments);

/// The running program's arguments. Empty where /proc is not there.
std::vector<std::string> own_arguments();

}  // namespace wasmgrad::plugin
