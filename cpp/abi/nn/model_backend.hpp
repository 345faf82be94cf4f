// The encoding `pytorch`: vetted models, on what trains them.
#pragma once

#include "wasmgrad/abi/nn/backend.hpp"
#include "wasmgrad/training/backend.hpp"

namespace wasmgrad::abi::nn {

class ModelBackend final : public Backend {
 public:
  /// `backend` outlives this.
  explicit ModelBackend(const training::Backend& backend) : backend_(backend) {}

  [[nodiscard]] std::optional<Encoding> encoding() const override { return Encoding::kPyTorch; }
  [[nodiscard]] bool recognizes(std::span<const std::byte> part) const override;
  Expected<std::shared_ptr<Graph>> load(std::span<const std::span<const std::byte>> parts,
                                        const std::string& name, std::uint64_t max_bytes) override;

 private:
  const training::Backend& backend_;
};

}  // namespace wasmgrad::abi::nn
