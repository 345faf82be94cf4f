// Low-rank branches in a specialised graph. Torch header.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstddef>
#include <span>
#include <unordered_map>

#include "wasmgrad/training/torch/lowering/specialize.hpp"

namespace wasmgrad::training::lowering {

/// How often a graph uses one of its module's tensors, as what.
struct WeightUse {
  std::size_t straight = 0;    ///< x wᵀ: the weight of a linear layer, [out, in]
  std::size_t transposed = 0;  ///< x w: one that is [in, out]
  std::size_t others = 0;
};
using WeightUses = std::unordered_map<const c10::TensorImpl*, WeightUse>;

/// How `forward` uses each of the module's tensors. Throws c10::Error.
WeightUses weight_uses(const torch::jit::Module& module);

/// y = x wᵀ of each weight becomes y + scale * (x aᵀ) bᵀ, computed in this order; other users of a weight get
/// w + scale * b a. `a` and `b` become captured inputs.
void add_branches(Specialized& specialized, std::span<const Adapter> adapters);

}  // namespace wasmgrad::training::lowering
