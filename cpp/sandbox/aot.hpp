// Ahead-of-time compilation of a validated guest, and the cache of its results. Private to sandbox/.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>

#include "wasmgrad/base/scratch_directory.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/engine.hpp"

namespace wasmgrad::sandbox {

/// A native library made from a guest. A temporary one is removed with the object.
struct CompiledGuest {
  std::filesystem::path path;
  std::optional<ScratchDirectory> temporary;
};

/// Compiles `module`, which must have been validated, or finds it in `cache` (empty: no cache). A cached file
/// is used only when it is byte for byte what was written: its digest is kept at its end. A cache that grows
/// past 2 GiB loses what has not been used for longest. Errors: kRuntimeError.
Expected<CompiledGuest> compile_guest(std::span<const std::byte> module,
                                      const WasmEdge_ConfigureContext* configure,
                                      const std::filesystem::path& cache);

}  // namespace wasmgrad::sandbox
