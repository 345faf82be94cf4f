// What the stock `wasmedge` program grants its guest, read from its command line: a plugin is not told it.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/file.hpp"

namespace wasmgrad::plugin {

/// The `--dir` options among `arguments` (argv, the program first) up to the name of the wasm file, in
/// WasmEdge's notation GUEST:HOST[:readonly] or DIR. What does not parse grants nothing.
std::vector<Preopen> parse_cli_grants(std::span<const std::string> arguments);

/// The `--nn-preload` options in the same place, in WasmEdge's notation NAME:ENCODING:TARGET:FILE, as files
/// by name. ENCODING is PyTorch or Autodetect and TARGET is CPU or AUTO, in any case. What does not parse
/// grants nothing.
std::map<std::string, std::filesystem::path> parse_cli_models(std::span<const std::string> arguments);

/// The running program's arguments. Empty where /proc is not there.
std::vector<std::string> own_arguments();

}  // namespace wasmgrad::plugin
