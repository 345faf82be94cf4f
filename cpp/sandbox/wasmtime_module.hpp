// A guest's module as wasmtime compiles it, with the proposals that guests may use. Private to sandbox/.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"
#include "wasmgrad/sandbox/wasmtime_api.hpp"

namespace wasmgrad::sandbox::wasmtime {

struct CompiledModule {
  Owned<Engine> engine;
  Owned<Module> module;
};

/// With the proposals of guests. `keeps_images`: initial memories are files, which instances map.
Owned<Engine> make_guest_engine(const Api& api, bool keeps_images);

/// Errors: those of a module that needs a refused proposal or is not valid; `guest` names it.
Expected<Owned<Module>> compile_module(const Api& api, Engine& engine, std::span<const std::byte> code,
                                       const std::string& guest);

/// Errors: those of a module that needs a refused proposal, is not valid, or begins with more memory than
/// `config` allows.
Expected<CompiledModule> compile(const Api& api, const SandboxConfig& config);

}  // namespace wasmgrad::sandbox::wasmtime
