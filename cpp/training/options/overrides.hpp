// What the owner of a run decides in place of the guest: each option that is set replaces the guest's value.
#pragma once

#include <cstdint>
#include <optional>

#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

struct Overrides {
  // A loss is for every output, also instead of a model's own; a scale is for every input.
  // [generated: fields]
  std::optional<OptimizerKind> optimizer;
  std::optional<double> learning_rate;
  std::optional<double> weight_decay;
  std::optional<double> beta1;
  std::optional<double> beta2;
  std::optional<double> epsilon;
  std::optional<bool> amsgrad;
  std::optional<double> momentum_decay;
  std::optional<double> momentum;
  std::optional<bool> nesterov;
  std::optional<double> dampening;
  std::optional<double> alpha;
  std::optional<std::vector<std::string>> freeze;
  std::optional<std::vector<std::string>> lora;
  std::optional<LossKind> loss;
  std::optional<std::vector<double>> class_weights;
  std::optional<std::int64_t> ignore_index;
  std::optional<double> label_smoothing;
  std::optional<std::vector<double>> pos_weight;
  std::optional<double> huber_delta;
  std::optional<double> focal_gamma;
  std::optional<double> focal_alpha;
  std::optional<ScheduleKind> schedule;
  std::optional<std::int64_t> warmup_epochs;
  std::optional<std::int64_t> step_epochs;
  std::optional<double> gamma;
  std::optional<double> minimum_factor;
  std::optional<double> peak_at;
  std::optional<double> start_divisor;
  std::optional<double> end_divisor;
  std::optional<std::int64_t> plateau_patience;
  std::optional<std::int64_t> epochs;
  std::optional<std::int64_t> batch_size;
  std::optional<std::int64_t> predict_batch_size;
  std::optional<std::int64_t> batches_per_epoch;
  std::optional<bool> drop_last;
  std::optional<bool> shuffle;
  std::optional<bool> restore_on_error;
  std::optional<std::uint64_t> seed;
  std::optional<std::int64_t> threads;
  std::optional<Precision> precision;
  std::optional<bool> rewrites;
  std::optional<std::int64_t> accumulate;
  std::optional<double> clip_norm;
  std::optional<double> clip_value;
  std::optional<std::int64_t> top_k;
  std::optional<std::int64_t> early_stopping_patience;
  std::optional<double> early_stopping_min_delta;
  std::optional<bool> early_stopping_restore_best;
  std::optional<double> input_scale;
  std::optional<double> input_offset;
  // [/generated]

  /// `options` with every set field replaced.
  [[nodiscard]] TrainerOptions apply(TrainerOptions options) const;
};

}  // namespace wasmgrad::training
