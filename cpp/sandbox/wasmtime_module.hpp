// A guest's module as wasmtime compiles it, with the proposals that guests may use. Private to sandbox/.
#pragma once

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"
#include "wasmgrad/sandbox/wasmtime_api.hpp"

namespace wasmgrad::sandbox::wasmtime {

struct CompiledModule {
  Owned<Engine> engine;
  Owned<Module> module;
};

/// Errors: those of a module that needs a refused proposal, is not valid, or begins with more memory than
/// `config` allows.
Expected<CompiledModule> compile(const Api& api, const SandboxConfig& config);

}  // namespace wasmgrad::sandbox::wasmtime
