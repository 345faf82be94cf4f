// The encoding `pytorch`: vetted models on libtorch.
#pragma once

#include "wasmgrad/abi/nn/backend.hpp"

namespace wasmgrad::abi::nn {

class TorchBackend final : public Backend {
 public:
  [[nodiscard]] std::optional<Encoding> encoding() const override { return Encoding::kPyTorch; }
  [[nodiscard]] bool recognizes(std::span<const std::byte> part) const override;
  Expected<std::shared_ptr<Graph>> load(std::span<const std::span<const std::byte>> parts,
                                        const std::string& name, std::uint64_t max_bytes) override;
};

}  // namespace wasmgrad::abi::nn
