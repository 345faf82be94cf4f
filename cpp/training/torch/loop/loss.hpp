// Losses: the mean over a batch, and its gradient with respect to the model's output. Torch header, private
// to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

/// Probabilities below this count as this in LossKind::kCrossEntropy, where the logarithm would leave f32:
/// the smallest normal f32.
inline constexpr double kLeastProbability = 1.17549435e-38;

struct LossAndGradient {
  double loss;
  at::Tensor gradient;  ///< d loss / d output, f32, the output's shape
};

/// A loss and the options that count for it.
class Loss {
 public:
  Loss(LossKind kind, const TrainerOptions& options);

  /// Whether these targets are class indices for an output of this shape. Others that a classification loss
  /// may have are probabilities of the classes.
  [[nodiscard]] bool has_labels(const at::Tensor& output, const at::Tensor& targets) const;

  /// Targets as the other members take them: int64 class indices [N, ...], those [N, 1] as [N]; else f32.
  [[nodiscard]] at::Tensor target_form(const at::Tensor& output, const at::Tensor& targets) const;

  /// Whether `output` fits `targets`, in their form: [N, C, ...] for [N, ...] class indices, else the same
  /// shape; and the weights both. Errors: kInvalidArgument, naming the shapes.
  [[nodiscard]] Status check(const at::Tensor& output, const at::Tensor& targets) const;

  /// Whether class indices, which have passed check(), are below C: memory is read and written by them, and
  /// the model decides anew in every batch how many classes there are. Errors: kInvalidArgument, naming one.
  [[nodiscard]] Status check_labels(const at::Tensor& output, const at::Tensor& targets) const;

  /// The mean of f32 `output`, which has passed both checks. A sum in f64 where it
  /// is ours, so that it does not depend on the thread count. 0 when no target counts.
  [[nodiscard]] double value(const at::Tensor& output, const at::Tensor& targets) const;
  [[nodiscard]] LossAndGradient value_and_gradient(const at::Tensor& output, const at::Tensor& targets) const;

 private:
  [[nodiscard]] bool is_plain(const at::Tensor& output, const at::Tensor& targets) const;
  [[nodiscard]] at::Tensor differentiable(const at::Tensor& output, const at::Tensor& targets) const;
  [[nodiscard]] bool none_counts(const at::Tensor& labels) const;
  [[nodiscard]] at::Tensor classification(const at::Tensor& output, const at::Tensor& targets) const;

  LossKind kind_;
  at::Tensor class_weights_, pos_weight_;  ///< undefined: all 1
  std::int64_t ignored_;
  double label_smoothing_, huber_delta_, focal_gamma_, focal_alpha_;
};

}  // namespace wasmgrad::training
