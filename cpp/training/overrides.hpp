// What the owner of a run decides in place of the guest: each option that is set replaces the guest's value.
#pragma once

#include <cstdint>
#include <optional>

#include "wasmgrad/training/options.hpp"

namespace wasmgrad::training {

struct Overrides {
  std::optional<OptimizerKind> optimizer;
  std::optional<double> learning_rate, weight_decay, beta1, beta2, epsilon, momentum, alpha;
  std::optional<bool> nesterov;
  std::optional<LossKind> loss;  ///< of every output, also instead of a model's own
  std::optional<ScheduleKind> schedule;
  std::optional<std::int64_t> warmup_epochs, step_epochs;
  std::optional<double> gamma, minimum_factor;
  std::optional<std::int64_t> epochs, batch_size, accumulate, batches_per_epoch;
  std::optional<bool> shuffle;
  std::optional<std::uint64_t> seed;
  std::optional<int> threads;
  std::optional<double> clip_norm, clip_value;
  std::optional<std::int64_t> top_k, early_stopping_patience;
  std::optional<double> early_stopping_min_delta, input_scale, input_offset;  ///< a scale is for every input
  std::optional<bool> early_stopping_restore_best;

  /// `options` with every set field replaced.
  [[nodiscard]] TrainerOptions apply(TrainerOptions options) const;
};

}  // namespace wasmgrad::training
