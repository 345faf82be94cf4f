// Host functions as a WasmEdge module instance, for the sandbox and for plugins of other WasmEdge programs.
//
// It must not know what the functions do, nor who owns the engine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/engine.hpp"

namespace wasmgrad::sandbox {

/// The module `name` with `functions`, which it owns. A function that returns an error traps the guest, after
/// `on_error` was called with it. Errors: kInvalidArgument when a function has more than 16 parameters or 4
/// results.
Expected<ModuleInstance> make_host_module(const std::string& name, std::vector<HostFunction> functions,
                                          std::function<void(const Error&)> on_error);

}  // namespace wasmgrad::sandbox
