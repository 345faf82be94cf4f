// Losses: the mean over a batch, and its gradient with respect to the model's output. Torch header, private
// to training/.
//
// Gradients are given in closed form, so that no autograd graph is built above the model's output.
#pragma once

#include <ATen/core/Tensor.h>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

/// Probabilities below this count as this in LossKind::kCrossEntropy, where the logarithm would leave f32:
/// the smallest normal f32.
inline constexpr double kLeastProbability = 1.17549435e-38;

/// Whether `output` fits `targets`: [N, C] for [N] class indices, else the same shape. Errors:
/// kInvalidArgument, naming both shapes.
Status check_output(LossKind kind, const at::Tensor& output, const at::Tensor& targets);

/// Mean loss of f32 `output`, which has passed check_output; class indices must be below C. A sum over the
/// samples in f64 where it is ours, so that it does not depend on the thread count.
double loss_value(LossKind kind, const at::Tensor& output, const at::Tensor& targets);

struct LossAndGradient {
  double loss;
  at::Tensor gradient;  ///< d loss / d output, f32, the output's shape
};
LossAndGradient loss_and_gradient(LossKind kind, const at::Tensor& output, const at::Tensor& targets);

}  // namespace wasmgrad::training
