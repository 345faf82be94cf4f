// Compiled graph modules as a back end of wasi_ephemeral_nn: a guest infers without libtorch, on the engine.
//
// A module may come in two parts: its bytes, and the file with its weights.
#pragma once

#include <filesystem>

#include "wasmgrad/abi/nn/backend.hpp"

namespace wasmgrad::runner {

class GraphBackend final : public abi::nn::Backend {
 public:
  /// `aot_cache` keeps compiled modules; empty: they are compiled anew.
  explicit GraphBackend(std::filesystem::path aot_cache) : aot_cache_(std::move(aot_cache)) {}

  /// None of the definition's encodings is WebAssembly.
  [[nodiscard]] std::optional<abi::nn::Encoding> encoding() const override { return std::nullopt; }
  [[nodiscard]] bool recognizes(std::span<const std::byte> part) const override;
  Expected<std::shared_ptr<abi::nn::Graph>> load(std::span<const std::span<const std::byte>> parts,
                                                 const std::string& name, std::uint64_t max_bytes) override;

 private:
  std::filesystem::path aot_cache_;
};

}  // namespace wasmgrad::runner
