#include "wasmgrad/training/overrides.hpp"

namespace wasmgrad::training {

namespace {

template <class T>
void replace(T& target, const std::optional<T>& value) {
  if (value) target = *value;
}

template <class T>
void replace(std::optional<T>& target, const std::optional<T>& value) {
  if (value) target = value;
}

}  // namespace

TrainerOptions Overrides::apply(TrainerOptions options) const {
  replace(options.optimizer.kind, optimizer);
  replace(options.optimizer.learning_rate, learning_rate);
  replace(options.optimizer.weight_decay, weight_decay);
  replace(options.optimizer.beta1, beta1);
  replace(options.optimizer.beta2, beta2);
  replace(options.optimizer.epsilon, epsilon);
  replace(options.optimizer.momentum, momentum);
  replace(options.optimizer.alpha, alpha);
  replace(options.optimizer.nesterov, nesterov);
  replace(options.loss, loss);
  if (loss) {
    options.losses.clear();
    options.model_loss = false;
  }
  replace(options.schedule.kind, schedule);
  replace(options.schedule.warmup_epochs, warmup_epochs);
  replace(options.schedule.step_epochs, step_epochs);
  replace(options.schedule.gamma, gamma);
  replace(options.schedule.minimum_factor, minimum_factor);
  replace(options.epochs, epochs);
  replace(options.batch_size, batch_size);
  replace(options.accumulate, accumulate);
  replace(options.batches_per_epoch, batches_per_epoch);
  replace(options.shuffle, shuffle);
  replace(options.seed, seed);
  replace(options.threads, threads);
  replace(options.clip_norm, clip_norm);
  replace(options.clip_value, clip_value);
  replace(options.top_k, top_k);
  replace(options.early_stopping_patience, early_stopping_patience);
  replace(options.early_stopping_min_delta, early_stopping_min_delta);
  replace(options.early_stopping_restore_best, early_stopping_restore_best);
  replace(options.input_scale, input_scale);
  replace(options.input_offset, input_offset);
  if (input_scale || input_offset) options.inputs.clear();
  return options;
}

}  // namespace wasmgrad::training
