// Compiled core modules of components, kept from one run to the next: a Python interpreter takes the engine
// ten seconds of a processor's time. Private to sandbox/.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/wasmtime_api.hpp"

namespace wasmgrad::sandbox::component {

/// Compiles `code`, or finds it in `cache` (empty: no cache). A cached file is used only when it is byte for
/// byte what was written; the engine refuses what another version or processor made. Errors: those of
/// wasmtime::compile_module(), kRuntimeError for a cache that cannot be used.
Expected<wasmtime::Owned<wasmtime::Module>> compile_cached(const wasmtime::Api& api, wasmtime::Engine& engine,
                                                           std::span<const std::byte> code,
                                                           const std::string& guest,
                                                           const std::filesystem::path& cache);

}  // namespace wasmgrad::sandbox::component
