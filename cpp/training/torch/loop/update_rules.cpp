#include "wasmgrad/training/torch/loop/update_rules.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <cmath>

namespace wasmgrad::training {

namespace {

/// Calls rule(i) for every element, on all threads.
template <class Rule>
void for_each_element(const at::Tensor& parameter, Rule rule) {
  constexpr std::int64_t kGrain = 16384;
  at::parallel_for(0, parameter.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) rule(i);
  });
}

float* data(at::Tensor* tensor) { return tensor == nullptr ? nullptr : tensor->mutable_data_ptr<float>(); }

/// The numbers of a step as f32, which the loops compute in.
struct Step {
  Step(const OptimizerOptions& options, double learning_rate, at::Tensor& parameter,
       const at::Tensor& gradient)
      : p(parameter.mutable_data_ptr<float>()),
        g(gradient.const_data_ptr<float>()),
        rate(static_cast<float>(learning_rate)),
        decay(static_cast<float>(options.weight_decay)),
        beta1(static_cast<float>(options.beta1)),
        rest1(static_cast<float>(1 - options.beta1)),
        beta2(static_cast<float>(options.beta2)),
        rest2(static_cast<float>(1 - options.beta2)),
        epsilon(static_cast<float>(options.epsilon)) {}

  float* p;
  const float* g;
  float rate, decay, beta1, rest1, beta2, rest2, epsilon;

  /// The gradient with the L2 penalty.
  [[nodiscard]] float penalized(std::int64_t i) const { return g[i] + decay * p[i]; }
};

void rmsprop(const Step& step, const OptimizerOptions& options, at::Tensor& parameter,
             const ParameterState& state) {
  float* square = data(state.first);
  float* buffer = data(state.second);
  const auto alpha = static_cast<float>(options.alpha);
  const auto rest = static_cast<float>(1 - options.alpha);
  const auto momentum = static_cast<float>(options.momentum);
  for_each_element(parameter, [=](std::int64_t i) {
    const float d = step.penalized(i);
    square[i] = alpha * square[i] + rest * d * d;
    float move = d / (std::sqrt(square[i]) + step.epsilon);
    if (buffer != nullptr) move = buffer[i] = momentum * buffer[i] + move;
    step.p[i] -= step.rate * move;
  });
}

void dampened_sgd(const Step& step, const OptimizerOptions& options, at::Tensor& parameter,
                  const ParameterState& state) {
  float* buffer = data(state.first);
  const auto momentum = static_cast<float>(options.momentum);
  // The first step takes the whole gradient.
  const bool first = *data(state.step) == 1;
  const auto share = static_cast<float>(first ? 1 : 1 - options.dampening);
  for_each_element(parameter, [=](std::int64_t i) {
    buffer[i] = momentum * buffer[i] + share * step.penalized(i);
    step.p[i] -= step.rate * buffer[i];
  });
}

void adagrad(const Step& step, at::Tensor& parameter, const ParameterState& state) {
  float* sum = data(state.first);
  for_each_element(parameter, [=](std::int64_t i) {
    const float d = step.penalized(i);
    sum[i] += d * d;
    step.p[i] -= step.rate * d / (std::sqrt(sum[i]) + step.epsilon);
  });
}

void nadam(const Step& step, const OptimizerOptions& options, double learning_rate, at::Tensor& parameter,
           const ParameterState& state) {
  const double count = *data(state.step);
  const auto momentum_at = [&](double t) {
    return options.beta1 * (1 - 0.5 * std::pow(0.96, t * options.momentum_decay));
  };
  const double now = momentum_at(count);
  const double next = momentum_at(count + 1);
  float* product = data(state.third);
  *product *= static_cast<float>(now);
  const double all = *product;
  const auto of_gradient = static_cast<float>(learning_rate * (1 - now) / (1 - all));
  const auto of_mean = static_cast<float>(learning_rate * next / (1 - all * next));
  const auto correction = static_cast<float>(1 - std::pow(options.beta2, count));
  float* mean = data(state.first);
  float* square = data(state.second);
  for_each_element(parameter, [=](std::int64_t i) {
    const float d = step.penalized(i);
    mean[i] += step.rest1 * (d - mean[i]);
    square[i] = step.beta2 * square[i] + step.rest2 * d * d;
    const float divisor = std::sqrt(square[i] / correction) + step.epsilon;
    step.p[i] -= (of_gradient * d + of_mean * mean[i]) / divisor;
  });
}

void radam(const Step& step, const OptimizerOptions& options, double learning_rate, at::Tensor& parameter,
           const ParameterState& state) {
  const double count = *data(state.step);
  const double power = std::pow(options.beta2, count);
  const double longest = 2 / (1 - options.beta2) - 1;
  const double length = longest - 2 * count * power / (1 - power);
  const double mean_rate = learning_rate / (1 - std::pow(options.beta1, count));
  const bool rectified = length > 5;
  const double scale =
      rectified
          ? std::sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) *
                std::sqrt(1 - power)
          : 1;
  const auto rate = static_cast<float>(mean_rate * scale);
  float* mean = data(state.first);
  float* square = data(state.second);
  for_each_element(parameter, [=](std::int64_t i) {
    const float d = step.penalized(i);
    mean[i] += step.rest1 * (d - mean[i]);
    square[i] = step.beta2 * square[i] + step.rest2 * d * d;
    step.p[i] -= rate * mean[i] / (rectified ? std::sqrt(square[i]) + step.epsilon : 1.0F);
  });
}

void lion(const Step& step, at::Tensor& parameter, const ParameterState& state) {
  float* mean = data(state.first);
  for_each_element(parameter, [=](std::int64_t i) {
    const float d = step.g[i];
    const float direction = step.beta1 * mean[i] + step.rest1 * d;
    const auto sign = static_cast<float>((direction > 0) - (direction < 0));
    step.p[i] -= step.rate * (sign + step.decay * step.p[i]);
    mean[i] = step.beta2 * mean[i] + step.rest2 * d;
  });
}

void lamb(const Step& step, const OptimizerOptions& options, double learning_rate, at::Tensor& parameter,
          const ParameterState& state) {
  const double count = *data(state.step);
  const auto mean_correction = static_cast<float>(1 - std::pow(options.beta1, count));
  const auto square_correction = static_cast<float>(1 - std::pow(options.beta2, count));
  float* mean = data(state.first);
  float* square = data(state.second);
  at::Tensor update = at::empty_like(parameter);
  auto* u = update.mutable_data_ptr<float>();
  for_each_element(parameter, [=](std::int64_t i) {
    const float d = step.g[i];
    mean[i] = step.beta1 * mean[i] + step.rest1 * d;
    square[i] = step.beta2 * square[i] + step.rest2 * d * d;
    const float divisor = std::sqrt(square[i] / square_correction) + step.epsilon;
    u[i] = mean[i] / mean_correction / divisor + step.decay * step.p[i];
  });
  const double weight = at::linalg_vector_norm(parameter, 2).item<double>();
  const double length = at::linalg_vector_norm(update, 2).item<double>();
  const double trust = weight > 0 && length > 0 ? weight / length : 1;
  const auto rate = static_cast<float>(learning_rate * trust);
  for_each_element(parameter, [=](std::int64_t i) { step.p[i] -= rate * u[i]; });
}

}  // namespace

void update_parameter(const OptimizerOptions& options, double learning_rate, at::Tensor& parameter,
                      const at::Tensor& gradient, const ParameterState& state) {
  const Step step(options, learning_rate, parameter, gradient);
  switch (options.kind) {
    case OptimizerKind::kRMSProp:
      return rmsprop(step, options, parameter, state);
    case OptimizerKind::kSGD:
      return dampened_sgd(step, options, parameter, state);
    case OptimizerKind::kAdagrad:
      return adagrad(step, parameter, state);
    case OptimizerKind::kNAdam:
      return nadam(step, options, learning_rate, parameter, state);
    case OptimizerKind::kRAdam:
      return radam(step, options, learning_rate, parameter, state);
    case OptimizerKind::kLion:
      return lion(step, parameter, state);
    case OptimizerKind::kLAMB:
      return lamb(step, options, learning_rate, parameter, state);
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return;  // torch's fused kernels
  }
}

}  // namespace wasmgrad::training
