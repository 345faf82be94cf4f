// Ahead-of-time compilation of a validated guest, and the cache of its results. Private to sandbox/.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/engine.hpp"

namespace wasmgrad::sandbox {

/// A native library made from a guest. A temporary one is removed with the object.
class CompiledGuest {
 public:
  CompiledGuest(std::filesystem::path path, bool temporary) : path_(std::move(path)), temporary_(temporary) {}
  CompiledGuest(CompiledGuest&& other) noexcept
      : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, false)) {}
  CompiledGuest& operator=(CompiledGuest&&) = delete;
  ~CompiledGuest();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  bool temporary_;
};

/// Compiles `module`, which must have been validated, or finds it in `cache` (empty: no cache). A cached file
/// is used only when it is byte for byte what was written: its digest is kept at its end. A cache that grows
/// past 2 GiB loses what has not been used for longest. Errors: kRuntimeError.
Expected<CompiledGuest> compile_guest(std::span<const std::byte> module,
                                      const WasmEdge_ConfigureContext* configure,
                                      const std::filesystem::path& cache);

}  // namespace wasmgrad::sandbox
