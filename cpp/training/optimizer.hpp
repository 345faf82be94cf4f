// Optimizers with PyTorch's formulas, over a fixed list of parameters. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "wasmgrad/training/model_storage.hpp"
#include "wasmgrad/training/options.hpp"

namespace wasmgrad::training {

class Optimizer {
 public:
  /// `parameters` must be contiguous f32; they are shared, not copied.
  Optimizer(const OptimizerOptions& options, std::vector<NamedTensor> parameters);

  /// Updates every parameter that has a gradient. A parameter without one keeps its value and its state.
  void step(double learning_rate);

  /// Gradients that the last backward pass left, clipped in place by the caller when it wants to.
  [[nodiscard]] std::vector<at::Tensor> gradients() const;
  void clear_gradients();

  /// The live state tensors, named "<kind of state>.<parameter>".
  [[nodiscard]] std::vector<NamedTensor> state() const;

 private:
  /// Parallel lists, as torch's fused kernels take them; a list that the optimizer does not use is empty.
  struct Lists {
    std::vector<at::Tensor> parameters, gradients, first, second, steps;
  };
  void update(Lists& lists, double learning_rate) const;

  OptimizerOptions options_;
  std::vector<std::string> names_;
  Lists all_;
};

/// Scales `gradients` so that their common L2 norm is at most `limit`, as torch.nn.utils.clip_grad_norm_.
void clip_by_norm(const std::vector<at::Tensor>& gradients, double limit);
/// Clamps each element to -limit..limit.
void clip_by_value(const std::vector<at::Tensor>& gradients, double limit);

}  // namespace wasmgrad::training
