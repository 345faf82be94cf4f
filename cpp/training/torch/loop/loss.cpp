#include "wasmgrad/training/torch/loop/loss.hpp"

#include <ATen/core/Reduction.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/huber_loss.h>
#include <ATen/ops/huber_loss_backward.h>
#include <ATen/ops/l1_loss.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/mse_loss_backward.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::training {

namespace {

constexpr double kHuberDelta = 1;

/// Mean of -log p over the rows of `log_probabilities` [N, C].
double mean_negative(const at::Tensor& log_probabilities, const at::Tensor& targets) {
  const std::int64_t samples = log_probabilities.size(0);
  const std::int64_t classes = log_probabilities.size(1);
  const float* row = log_probabilities.const_data_ptr<float>();
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  double sum = 0;
  for (std::int64_t i = 0; i < samples; ++i, row += classes) sum -= row[target[i]];
  return sum / static_cast<double>(samples);
}

double probabilities_loss(const at::Tensor& output, const at::Tensor& targets, float* gradient) {
  const at::Tensor probabilities = output.contiguous();
  const std::int64_t samples = output.size(0);
  const std::int64_t classes = output.size(1);
  const float* row = probabilities.const_data_ptr<float>();
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  const auto least = static_cast<float>(kLeastProbability);
  double sum = 0;
  for (std::int64_t i = 0; i < samples; ++i, row += classes) {
    const float p = row[target[i]];
    // Written so that NaN stays NaN.
    sum -= std::log(static_cast<double>(p < least ? least : p));
    if (gradient != nullptr && !(p < least)) {
      gradient[i * classes + target[i]] = -1 / (p * static_cast<float>(samples));
    }
  }
  return sum / static_cast<double>(samples);
}

at::Tensor softmax_gradient(const at::Tensor& log_probabilities, const at::Tensor& targets) {
  const std::int64_t samples = log_probabilities.size(0);
  const std::int64_t classes = log_probabilities.size(1);
  const float share = 1 / static_cast<float>(samples);
  at::Tensor gradient = log_probabilities.exp().mul_(share);
  float* row = gradient.mutable_data_ptr<float>();
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < samples; ++i, row += classes) row[target[i]] -= share;
  return gradient;
}

}  // namespace

Status check_output(LossKind kind, const at::Tensor& output, const at::Tensor& targets) {
  const bool classes = is_classification(kind);
  const bool fits = classes ? output.dim() == 2 && output.size(0) == targets.size(0) && output.size(1) > 0
                            : output.sizes() == targets.sizes();
  if (!fits) {
    return Error{Errc::kInvalidArgument,
                 "the model's output has shape " + format_shape(output.sizes()) + " for targets of shape " +
                     format_shape(targets.sizes()) + "; " + std::string(name_of(kind)) + " needs " +
                     (classes ? "[" + std::to_string(targets.size(0)) + ", classes]" : "the targets' shape")};
  }
  if (!output.is_floating_point()) {
    return Error{Errc::kInvalidArgument, "the model's output is of type " +
                                             std::string(output.dtype().name()) +
                                             "; a loss needs floating point"};
  }
  return {};
}

double loss_value(LossKind kind, const at::Tensor& output, const at::Tensor& targets) {
  const c10::NoGradGuard no_grad;
  switch (kind) {
    case LossKind::kCrossEntropy:
      return probabilities_loss(output, targets, nullptr);
    case LossKind::kCrossEntropyLogits:
      return mean_negative(at::_log_softmax(output, 1, false).contiguous(), targets);
    case LossKind::kMSE:
      return at::mse_loss(output, targets).item<double>();
    case LossKind::kL1:
      return at::l1_loss(output, targets).item<double>();
    case LossKind::kHuber:
      return at::huber_loss(output, targets, at::Reduction::Mean, kHuberDelta).item<double>();
    case LossKind::kBCEWithLogits:
      return at::binary_cross_entropy_with_logits(output, targets).item<double>();
  }
  return 0;
}

LossAndGradient loss_and_gradient(LossKind kind, const at::Tensor& output, const at::Tensor& targets) {
  const c10::NoGradGuard no_grad;
  const double share = 1 / static_cast<double>(output.numel());
  switch (kind) {
    case LossKind::kCrossEntropy: {
      at::Tensor gradient = at::zeros_like(output, at::MemoryFormat::Contiguous);
      const double loss = probabilities_loss(output, targets, gradient.mutable_data_ptr<float>());
      return {loss, std::move(gradient)};
    }
    case LossKind::kCrossEntropyLogits: {
      const at::Tensor log_probabilities = at::_log_softmax(output, 1, false).contiguous();
      return {mean_negative(log_probabilities, targets), softmax_gradient(log_probabilities, targets)};
    }
    case LossKind::kMSE:
      return {loss_value(kind, output, targets),
              at::mse_loss_backward(at::ones({}), output, targets, at::Reduction::Mean)};
    case LossKind::kL1:
      return {loss_value(kind, output, targets), at::sub(output, targets).sgn_().mul_(share)};
    case LossKind::kHuber:
      return {loss_value(kind, output, targets),
              at::huber_loss_backward(at::ones({}), output, targets, at::Reduction::Mean, kHuberDelta)};
    case LossKind::kBCEWithLogits:
      return {loss_value(kind, output, targets), at::sigmoid(output).sub_(targets).mul_(share)};
  }
  return {};
}

}  // namespace wasmgrad::training
