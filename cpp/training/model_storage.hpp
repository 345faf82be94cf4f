// What a Model holds. Torch header, private to training/.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/training/model.hpp"
#include "wasmgrad/training/model_names.hpp"

namespace wasmgrad::training {

/// A tensor by its dotted name, the model's own.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

struct Model::Storage {
  torch::jit::Module module;
  std::string name;
  ModelNames names;  ///< of tensors, by those in `module`; and how a saved archive calls forward's arguments

  /// Parameters that require gradients, each once, in the module's order.
  [[nodiscard]] std::vector<NamedTensor> trainable() const;
  /// All parameters, then all buffers, each once.
  [[nodiscard]] std::vector<NamedTensor> tensors() const;
  /// Buffers of floating point, each once, in the model's order.
  [[nodiscard]] std::vector<NamedTensor> floating_buffers() const;
};

}  // namespace wasmgrad::training
