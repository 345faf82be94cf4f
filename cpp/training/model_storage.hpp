// What a Model holds. Torch header, private to training/.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/training/model.hpp"

namespace wasmgrad::training {

/// A tensor of a module by its dotted name.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

struct Model::Storage {
  torch::jit::Module module;
  std::string name;

  /// Parameters that require gradients, each once, in the module's order.
  [[nodiscard]] std::vector<NamedTensor> trainable() const;
  /// All parameters, then all buffers, each once.
  [[nodiscard]] std::vector<NamedTensor> tensors() const;
};

}  // namespace wasmgrad::training
