// Update rules that torch has no fused kernel for: one pass over parameter, gradient and state. Torch header,
// private to training/torch/.
#pragma once

#include <ATen/core/Tensor.h>

#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

/// What the optimizer keeps of one parameter; null for what it does not need (Optimizer::state()).
struct ParameterState {
  at::Tensor* first;
  at::Tensor* second;
  at::Tensor* third;
  at::Tensor* step;  ///< counts this step already
};

/// One step of rmsprop, adagrad, nadam, radam, lion, lamb, or of sgd with dampening. All tensors are
/// contiguous f32.
void update_parameter(const OptimizerOptions& options, double learning_rate, at::Tensor& parameter,
                      const at::Tensor& gradient, const ParameterState& state);

}  // namespace wasmgrad::training
