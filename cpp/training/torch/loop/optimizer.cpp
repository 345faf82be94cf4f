#include "wasmgrad/training/torch/loop/optimizer.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

namespace wasmgrad::training {

namespace {

bool is_adam(OptimizerKind kind) { return kind == OptimizerKind::kAdam || kind == OptimizerKind::kAdamW; }

std::string_view first_name(OptimizerKind kind) {
  if (is_adam(kind)) return "exp_avg";
  return kind == OptimizerKind::kRMSProp ? "square_avg" : "momentum_buffer";
}
std::string_view second_name(OptimizerKind kind) { return is_adam(kind) ? "exp_avg_sq" : "momentum_buffer"; }

/// Whether `is_bad(bits)` holds for no element; the elements are f32, looked at as their bits.
template <class IsBad>
bool none_is(const at::Tensor& values, IsBad is_bad) {
  constexpr std::int64_t kGrain = 65536;
  const auto* bits = static_cast<const std::uint32_t*>(values.const_data_ptr());
  std::atomic<std::uint32_t> found = 0;
  at::parallel_for(0, values.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::uint32_t any = 0;
    for (std::int64_t i = begin; i < end; ++i) any |= static_cast<std::uint32_t>(is_bad(bits[i]));
    found.fetch_or(any, std::memory_order_relaxed);
  });
  return found == 0;
}

constexpr std::uint32_t kInfinity = 0x7F800000;  ///< all ones in the exponent; NaNs have more below them

/// torch has no fused RMSProp: one pass over parameter, gradient and state.
void rmsprop(at::Tensor& parameter, const at::Tensor& gradient, at::Tensor& square_avg,
             at::Tensor* momentum_buffer, const OptimizerOptions& options, double learning_rate) {
  constexpr std::int64_t kGrain = 16384;
  float* p = parameter.mutable_data_ptr<float>();
  const float* g = gradient.const_data_ptr<float>();
  float* square = square_avg.mutable_data_ptr<float>();
  float* buffer = momentum_buffer != nullptr ? momentum_buffer->mutable_data_ptr<float>() : nullptr;
  const auto decay = static_cast<float>(options.weight_decay);
  const auto alpha = static_cast<float>(options.alpha);
  const auto rest = static_cast<float>(1 - options.alpha);
  const auto epsilon = static_cast<float>(options.epsilon);
  const auto momentum = static_cast<float>(options.momentum);
  const auto rate = static_cast<float>(learning_rate);
  at::parallel_for(0, parameter.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float d = g[i] + decay * p[i];
      square[i] = alpha * square[i] + rest * d * d;
      float move = d / (std::sqrt(square[i]) + epsilon);
      if (buffer != nullptr) move = buffer[i] = momentum * buffer[i] + move;
      p[i] -= rate * move;
    }
  });
}

}  // namespace

Optimizer::Optimizer(const OptimizerOptions& options, std::vector<NamedTensor> parameters) {
  for (NamedTensor& entry : parameters) {
    names_.push_back(std::move(entry.name));
    all_.parameters.push_back(std::move(entry.tensor));
  }
  configure(options);
}

void Optimizer::configure(const OptimizerOptions& options) {
  const c10::NoGradGuard no_grad;
  options_ = options;
  const bool adam = is_adam(options.kind);
  const bool rms = options.kind == OptimizerKind::kRMSProp;
  const auto keep = [&](std::vector<at::Tensor>& list, bool needed) {
    if (!needed) list.clear();
    for (std::size_t i = list.size(); needed && i < all_.parameters.size(); ++i)
      list.push_back(at::zeros_like(all_.parameters[i]));
  };
  keep(all_.first, adam || rms || options.momentum != 0);
  keep(all_.second, adam || (rms && options.momentum != 0));
  for (std::size_t i = all_.steps.size(); adam && i < all_.parameters.size(); ++i)
    all_.steps.push_back(at::zeros({}, at::kFloat));
}

void Optimizer::step(const std::vector<at::Tensor>& gradients, double learning_rate) {
  const c10::NoGradGuard no_grad;
  if (std::ranges::all_of(gradients, [](const at::Tensor& gradient) { return gradient.defined(); })) {
    update(all_, gradients, learning_rate);
    return;
  }
  Lists some;
  std::vector<at::Tensor> given;
  const auto pick = [](std::vector<at::Tensor>& target, const std::vector<at::Tensor>& source,
                       std::size_t i) {
    if (!source.empty()) target.push_back(source[i]);
  };
  for (std::size_t i = 0; i < all_.parameters.size(); ++i) {
    if (!gradients[i].defined()) continue;
    pick(some.parameters, all_.parameters, i);
    pick(given, gradients, i);
    pick(some.first, all_.first, i);
    pick(some.second, all_.second, i);
    pick(some.steps, all_.steps, i);
  }
  if (!given.empty()) update(some, given, learning_rate);
}

void Optimizer::update(Lists& lists, const std::vector<at::Tensor>& gradients, double learning_rate) const {
  for (at::Tensor& step : lists.steps) *step.mutable_data_ptr<float>() += 1;
  switch (options_.kind) {
    case OptimizerKind::kAdam:
      at::_fused_adam_(lists.parameters, gradients, lists.first, lists.second, {}, lists.steps, learning_rate,
                       options_.beta1, options_.beta2, options_.weight_decay, options_.epsilon,
                       /*amsgrad=*/false,
                       /*maximize=*/false);
      break;
    case OptimizerKind::kAdamW:
      at::_fused_adamw_(lists.parameters, gradients, lists.first, lists.second, {}, lists.steps,
                        learning_rate, options_.beta1, options_.beta2, options_.weight_decay,
                        options_.epsilon, /*amsgrad=*/false,
                        /*maximize=*/false);
      break;
    case OptimizerKind::kSGD:
      // A momentum buffer of zeros gives exactly what PyTorch computes in a first step, so no first step is
      // special.
      at::_fused_sgd_(lists.parameters, gradients, lists.first, options_.weight_decay, options_.momentum,
                      learning_rate, /*dampening=*/0, options_.nesterov,
                      /*maximize=*/false, /*is_first_step=*/false);
      break;
    case OptimizerKind::kRMSProp:
      for (std::size_t i = 0; i < lists.parameters.size(); ++i) {
        rmsprop(lists.parameters[i], gradients[i], lists.first[i],
                lists.second.empty() ? nullptr : &lists.second[i], options_, learning_rate);
      }
      break;
  }
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> named;
  const auto add = [&](std::string_view what, const std::vector<at::Tensor>& list) {
    for (std::size_t i = 0; i < list.size(); ++i)
      named.push_back({std::string(what) + "." + names_[i], list[i]});
  };
  add(first_name(options_.kind), all_.first);
  add(second_name(options_.kind), all_.second);
  add("step", all_.steps);
  return named;
}

std::uint64_t Optimizer::state_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto* list : {&all_.first, &all_.second, &all_.steps})
    for (const at::Tensor& tensor : *list) bytes += tensor.nbytes();
  return bytes;
}

void clip_by_norm(const std::vector<at::Tensor>& gradients, double limit) {
  const c10::NoGradGuard no_grad;
  double squares = 0;
  for (const at::Tensor& gradient : gradients) {
    const double norm = at::linalg_vector_norm(gradient, 2).item<double>();
    squares += norm * norm;
  }
  const double factor = limit / (std::sqrt(squares) + 1e-6);
  if (factor >= 1) return;
  for (const at::Tensor& gradient : gradients) gradient.mul_(factor);
}

void clip_by_value(const std::vector<at::Tensor>& gradients, double limit) {
  const c10::NoGradGuard no_grad;
  for (const at::Tensor& gradient : gradients) gradient.clamp_(-limit, limit);
}

bool is_finite(const at::Tensor& values) {
  return none_is(values, [](std::uint32_t bits) { return (bits & kInfinity) == kInfinity; });
}

bool has_nan(const at::Tensor& values) {
  return !none_is(values, [](std::uint32_t bits) { return (bits & ~(1U << 31U)) > kInfinity; });
}

}  // namespace wasmgrad::training
