// What a model holds. Torch header, private to training/torch/.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "wasmgrad/training/model/model_names.hpp"
#include "wasmgrad/training/options/low_rank.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

namespace wasmgrad::training {

/// A tensor by its dotted name, the model's own.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// Parts of a module that stay in evaluation mode while the others train. They live as long as the module.
struct HeldParts {
  using Objects = std::unordered_set<const c10::ivalue::Object*>;
  Objects flags;       ///< read their flag as evaluation mode
  Objects statistics;  ///< their running statistics are used and never changed, whatever the flag
};

/// A low-rank branch beside a weight: W x + scale * B (A x).
struct Adapter {
  std::string module;  ///< its tensors are this name + ".lora_A.weight" and ".lora_B.weight", as PEFT's are
  at::Tensor weight;   ///< [out, in]
  at::Tensor a, b;     ///< [rank, in] and [out, rank]
  double scale;
  bool transposed;  ///< the weight is [in, out]
};

struct TorchModel::Storage {
  torch::jit::Module module;
  std::string name;
  ModelNames names;  ///< of tensors, by those in `module`; and how a saved archive calls forward's arguments
  HeldParts held;    ///< as the file has it
  std::vector<std::string> warnings;  ///< what of the file training cannot follow, a sentence each

  std::vector<Adapter> adapters;  ///< trained in place of the parameters, where there are any
  std::vector<LowRank> low_rank;  ///< what asked for them

  /// Parameters of the module that require gradients, each once, in the module's order.
  [[nodiscard]] std::vector<NamedTensor> trainable() const;
  /// A and B of each branch.
  [[nodiscard]] std::vector<NamedTensor> branches() const;
  /// All parameters, then all buffers, each once, then the branches.
  [[nodiscard]] std::vector<NamedTensor> tensors() const;
  /// Buffers of floating point, each once, in the model's order.
  [[nodiscard]] std::vector<NamedTensor> floating_buffers() const;
};

}  // namespace wasmgrad::training
