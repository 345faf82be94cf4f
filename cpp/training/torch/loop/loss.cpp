#include "wasmgrad/training/torch/loop/loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cosine_embedding_loss.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/huber_loss.h>
#include <ATen/ops/huber_loss_backward.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/kl_div.h>
#include <ATen/ops/l1_loss.h>
#include <ATen/ops/masked_select.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/mse_loss_backward.h>
#include <ATen/ops/nll_loss_nd.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::training {

namespace {

/// How many class indices count, at least 1.
std::int64_t counted(const at::Tensor& targets, std::int64_t ignored) {
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  const auto left_out = std::count(target, target + targets.numel(), ignored);
  return std::max<std::int64_t>(targets.numel() - left_out, 1);
}

/// Mean of -log p over the rows of `log_probabilities` [N, C] whose targets count.
double mean_negative(const at::Tensor& log_probabilities, const at::Tensor& targets, std::int64_t ignored) {
  const std::int64_t samples = log_probabilities.size(0);
  const std::int64_t classes = log_probabilities.size(1);
  const float* row = log_probabilities.const_data_ptr<float>();
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  double sum = 0;
  for (std::int64_t i = 0; i < samples; ++i, row += classes)
    if (target[i] != ignored) sum -= row[target[i]];
  return sum / static_cast<double>(counted(targets, ignored));
}

double probabilities_loss(const at::Tensor& output, const at::Tensor& targets, std::int64_t ignored,
                          float* gradient) {
  const at::Tensor probabilities = output.contiguous();
  const std::int64_t samples = output.size(0);
  const std::int64_t classes = output.size(1);
  const float* row = probabilities.const_data_ptr<float>();
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  const auto least = static_cast<float>(kLeastProbability);
  const auto count = static_cast<double>(counted(targets, ignored));
  double sum = 0;
  for (std::int64_t i = 0; i < samples; ++i, row += classes) {
    if (target[i] == ignored) continue;
    const float p = row[target[i]];
    // Written so that NaN stays NaN.
    sum -= std::log(static_cast<double>(p < least ? least : p));
    if (gradient != nullptr && !(p < least)) {
      gradient[i * classes + target[i]] = -1 / (p * static_cast<float>(count));
    }
  }
  return sum / count;
}

at::Tensor softmax_gradient(const at::Tensor& log_probabilities, const at::Tensor& targets,
                            std::int64_t ignored) {
  const std::int64_t samples = log_probabilities.size(0);
  const std::int64_t classes = log_probabilities.size(1);
  const float share = 1 / static_cast<float>(counted(targets, ignored));
  at::Tensor gradient = log_probabilities.exp().mul_(share);
  float* row = gradient.mutable_data_ptr<float>();
  const std::int64_t* target = targets.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < samples; ++i, row += classes) {
    if (target[i] == ignored) {
      std::fill_n(row, classes, 0.0F);
    } else {
      row[target[i]] -= share;
    }
  }
  return gradient;
}

/// torch's sigmoid focal loss: Lin et al., "Focal Loss for Dense Object Detection", equation 5.
at::Tensor focal(const at::Tensor& output, const at::Tensor& targets, double gamma, double alpha) {
  const at::Tensor p = output.sigmoid();
  const at::Tensor entropy =
      at::binary_cross_entropy_with_logits(output, targets, {}, {}, at::Reduction::None);
  const at::Tensor right = p * targets + (1 - p) * (1 - targets);
  const at::Tensor loss = entropy * (1 - right).pow(gamma);
  return (loss * (alpha * targets + (1 - alpha) * (1 - targets))).mean();
}

at::Tensor tensor_of(const std::optional<std::vector<double>>& numbers) {
  return numbers ? at::tensor(*numbers, at::kFloat) : at::Tensor();
}

Error misfit(LossKind kind, const at::Tensor& output, const at::Tensor& targets, const std::string& needed) {
  return invalid("the model's output has shape " + format_shape(output.sizes()) + " for targets of shape " +
                 format_shape(targets.sizes()) + "; " + std::string(name_of(kind)) + " needs " + needed);
}

/// The shape of an output for class indices of this one, the number of classes open.
std::string shape_for(const at::Tensor& labels) {
  std::string text = "[" + std::to_string(labels.size(0)) + ", classes";
  for (const std::int64_t extent : labels.sizes().slice(1)) text += ", " + std::to_string(extent);
  return text + "]";
}

bool fits_labels(const at::Tensor& output, const at::Tensor& labels) {
  return output.dim() == labels.dim() + 1 && output.size(0) == labels.size(0) && output.size(1) > 0 &&
         output.sizes().slice(2) == labels.sizes().slice(1);
}

Status check_weights(const char* name, const at::Tensor& weights, std::int64_t wanted, const char* of) {
  if (!weights.defined() || weights.numel() == wanted) return {};
  return invalid(std::string(name) + " has " + std::to_string(weights.numel()) +
                 " numbers; the model's output has " + std::to_string(wanted) + " " + of);
}

}  // namespace

Loss::Loss(LossKind kind, const TrainerOptions& options)
    : kind_(kind),
      class_weights_(is_classification(kind) ? tensor_of(options.class_weights) : at::Tensor()),
      pos_weight_(kind == LossKind::kBCEWithLogits ? tensor_of(options.pos_weight) : at::Tensor()),
      ignored_(options.ignore_index),
      label_smoothing_(kind == LossKind::kCrossEntropyLogits ? options.label_smoothing : 0),
      huber_delta_(options.huber_delta),
      focal_gamma_(options.focal_gamma),
      focal_alpha_(options.focal_alpha) {}

bool Loss::has_labels(const at::Tensor& output, const at::Tensor& targets) const {
  if (!is_classification(kind_)) return false;
  const bool one_class = output.dim() == 2 && output.size(1) == 1;
  const bool soft = kind_ == LossKind::kCrossEntropyLogits && targets.is_floating_point() &&
                    targets.sizes() == output.sizes() && !one_class;
  return !soft;
}

at::Tensor Loss::target_form(const at::Tensor& output, const at::Tensor& targets) const {
  if (!has_labels(output, targets)) return targets.to(at::kFloat).contiguous();
  const bool column = output.dim() == 2 && targets.dim() == 2 && targets.size(1) == 1;
  const at::Tensor labels = column ? targets.reshape({-1}) : targets;
  return labels.to(at::kLong).contiguous();
}

Status Loss::check(const at::Tensor& output, const at::Tensor& targets) const {
  if (targets.scalar_type() == at::kLong) {
    if (!fits_labels(output, targets)) {
      const bool one_hot = kind_ == LossKind::kCrossEntropyLogits && targets.sizes() == output.sizes();
      return misfit(
          kind_, output, targets,
          shape_for(targets) + (one_hot ? " for class indices; rows of probabilities, also of one-hot "
                                          "ones, are floating point"
                                        : ""));
    }
  } else if (output.sizes() != targets.sizes()) {
    return misfit(kind_, output, targets, "the targets' shape");
  } else if (kind_ == LossKind::kCosine && output.dim() != 2) {
    return misfit(kind_, output, targets, "one vector a sample: [N, D]");
  }
  if (!output.is_floating_point()) {
    return invalid("the model's output is of type " + std::string(output.dtype().name()) +
                   "; a loss needs floating point");
  }
  const std::int64_t last = output.dim() == 0 ? 1 : output.size(-1);
  if (pos_weight_.defined() && pos_weight_.numel() != 1)
    WASMGRAD_CHECK(check_weights("pos_weight", pos_weight_, last, "elements in its last dimension"));
  return check_weights("class_weights", class_weights_, output.dim() < 2 ? 0 : output.size(1), "classes");
}

Status Loss::check_labels(const at::Tensor& output, const at::Tensor& targets) const {
  if (targets.scalar_type() != at::kLong) return {};
  const std::int64_t classes = output.size(1);
  const std::int64_t* label = targets.const_data_ptr<std::int64_t>();
  const auto is_beyond = [this, classes](std::int64_t value) {
    return value != ignored_ && (value < 0 || value >= classes);
  };
  const auto* beyond = std::find_if(label, label + targets.numel(), is_beyond);
  if (beyond == label + targets.numel()) return {};
  return invalid("a target is class " + std::to_string(*beyond) + "; the model's output for this batch has " +
                 std::to_string(classes) + " classes, so labels are 0.." + std::to_string(classes - 1));
}

/// Whether the gradient is known in closed form.
bool Loss::is_plain(const at::Tensor& output, const at::Tensor& targets) const {
  switch (kind_) {
    case LossKind::kCrossEntropy:
    case LossKind::kCrossEntropyLogits:
      return output.dim() == 2 && targets.scalar_type() == at::kLong && !class_weights_.defined() &&
             label_smoothing_ == 0;
    case LossKind::kMSE:
    case LossKind::kL1:
    case LossKind::kHuber:
      return true;
    case LossKind::kBCEWithLogits:
      return !pos_weight_.defined();
    case LossKind::kNLL:
    case LossKind::kKLDiv:
    case LossKind::kCosine:
    case LossKind::kFocal:
      break;
  }
  return false;
}

/// Whether a label is the ignored one or of a class without weight, for all of them.
bool Loss::none_counts(const at::Tensor& labels) const {
  const at::Tensor counted = labels.masked_select(labels != ignored_);
  return counted.numel() == 0 ||
         (class_weights_.defined() && !class_weights_.index_select(0, counted).any().item<bool>());
}

at::Tensor Loss::classification(const at::Tensor& output, const at::Tensor& targets) const {
  const bool labels = targets.scalar_type() == at::kLong;
  if (labels && none_counts(targets)) return output.sum().mul(0);  // torch divides by 0
  if (kind_ == LossKind::kCrossEntropyLogits)
    return at::cross_entropy_loss(output, targets, class_weights_, at::Reduction::Mean,
                                  labels ? ignored_ : -1, label_smoothing_);
  const bool logarithms = kind_ == LossKind::kNLL;
  return at::nll_loss_nd(logarithms ? output : output.clamp_min(kLeastProbability).log(), targets,
                         class_weights_, at::Reduction::Mean, ignored_);
}

at::Tensor Loss::differentiable(const at::Tensor& output, const at::Tensor& targets) const {
  switch (kind_) {
    case LossKind::kCrossEntropy:
    case LossKind::kCrossEntropyLogits:
    case LossKind::kNLL:
      return classification(output, targets);
    case LossKind::kKLDiv:
      return at::kl_div(output, targets, at::Reduction::Sum) / output.size(0);
    case LossKind::kCosine:
      return at::cosine_embedding_loss(output, targets, at::ones({output.size(0)}));
    case LossKind::kFocal:
      return focal(output, targets, focal_gamma_, focal_alpha_);
    case LossKind::kBCEWithLogits:
      return at::binary_cross_entropy_with_logits(output, targets, {}, pos_weight_);
    case LossKind::kMSE:
    case LossKind::kL1:
    case LossKind::kHuber:
      break;
  }
  return {};  // always plain
}

double Loss::value(const at::Tensor& output, const at::Tensor& targets) const {
  const c10::NoGradGuard no_grad;
  if (!is_plain(output, targets)) return differentiable(output, targets).item<double>();
  switch (kind_) {
    case LossKind::kCrossEntropy:
      return probabilities_loss(output, targets, ignored_, nullptr);
    case LossKind::kCrossEntropyLogits:
      return mean_negative(at::_log_softmax(output, 1, false).contiguous(), targets, ignored_);
    case LossKind::kMSE:
      return at::mse_loss(output, targets).item<double>();
    case LossKind::kL1:
      return at::l1_loss(output, targets).item<double>();
    case LossKind::kHuber:
      return at::huber_loss(output, targets, at::Reduction::Mean, huber_delta_).item<double>();
    default:
      return at::binary_cross_entropy_with_logits(output, targets).item<double>();
  }
}

LossAndGradient Loss::value_and_gradient(const at::Tensor& output, const at::Tensor& targets) const {
  if (!is_plain(output, targets)) {
    const c10::AutoGradMode with_grad(true);
    const at::Tensor variable = output.detach().requires_grad_();
    const at::Tensor loss = differentiable(variable, targets);
    return {loss.item<double>(), torch::autograd::grad({loss}, {variable})[0]};
  }
  const c10::NoGradGuard no_grad;
  const double share = 1 / static_cast<double>(output.numel());
  switch (kind_) {
    case LossKind::kCrossEntropy: {
      at::Tensor gradient = at::zeros_like(output, at::MemoryFormat::Contiguous);
      const double loss = probabilities_loss(output, targets, ignored_, gradient.mutable_data_ptr<float>());
      return {loss, std::move(gradient)};
    }
    case LossKind::kCrossEntropyLogits: {
      const at::Tensor log_probabilities = at::_log_softmax(output, 1, false).contiguous();
      return {mean_negative(log_probabilities, targets, ignored_),
              softmax_gradient(log_probabilities, targets, ignored_)};
    }
    case LossKind::kMSE:
      return {value(output, targets),
              at::mse_loss_backward(at::ones({}), output, targets, at::Reduction::Mean)};
    case LossKind::kL1:
      return {value(output, targets), at::sub(output, targets).sgn_().mul_(share)};
    case LossKind::kHuber:
      return {value(output, targets),
              at::huber_loss_backward(at::ones({}), output, targets, at::Reduction::Mean, huber_delta_)};
    default:
      return {value(output, targets), at::sigmoid(output).sub_(targets).mul_(share)};
  }
}

}  // namespace wasmgrad::training
