#include "wasmgrad/training/torch/loop/optimizer.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

#include "wasmgrad/training/loop/glob.hpp"
#include "wasmgrad/training/torch/kernels/magnitude.hpp"
#include "wasmgrad/training/torch/loop/update_rules.hpp"

namespace wasmgrad::training {

namespace {

/// What an optimizer keeps of each parameter: the names of its lists, empty for those that it does not use.
struct StateNames {
  std::string_view first, second, third;
  bool steps = false;
};

StateNames state_of(const OptimizerOptions& options) {
  const bool momentum = options.momentum != 0;
  switch (options.kind) {
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return {"exp_avg", "exp_avg_sq", options.amsgrad ? "max_exp_avg_sq" : "", true};
    case OptimizerKind::kRMSProp:
      return {"square_avg", momentum ? "momentum_buffer" : "", "", false};
    case OptimizerKind::kSGD:
      return {momentum ? "momentum_buffer" : "", "", "", momentum && options.dampening != 0};
    case OptimizerKind::kAdagrad:
      return {"sum", "", "", false};
    case OptimizerKind::kNAdam:
      return {"exp_avg", "exp_avg_sq", "mu_product", true};
    case OptimizerKind::kRAdam:
    case OptimizerKind::kLAMB:
      return {"exp_avg", "exp_avg_sq", "", true};
    case OptimizerKind::kLion:
      return {"exp_avg", "", "", false};
  }
  return {};
}

/// As kernels::largest_magnitude, of a contiguous f32 tensor.
std::int32_t largest_magnitude(const at::Tensor& values) {
  constexpr std::int64_t kGrain = 65536;
  const auto* elements = values.const_data_ptr<float>();
  std::atomic<std::int32_t> largest = 0;
  at::parallel_for(0, values.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    const std::int32_t found = kernels::largest_magnitude(elements + begin, end - begin);
    std::int32_t known = largest.load(std::memory_order_relaxed);
    while (known < found && !largest.compare_exchange_weak(known, found, std::memory_order_relaxed)) {
    }
  });
  return largest;
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
  const StateNames names = state_of(options);
  const auto keep = [&](std::vector<at::Tensor>& list, bool needed, auto make) {
    if (!needed) list.clear();
    for (std::size_t i = list.size(); needed && i < all_.parameters.size(); ++i)
      list.push_back(make(all_.parameters[i]));
  };
  const auto zeros = [](const at::Tensor& parameter) { return at::zeros_like(parameter); };
  const auto scalar = [](const at::Tensor& /*parameter*/) { return at::zeros({}, at::kFloat); };
  const auto product = [](const at::Tensor& /*parameter*/) { return at::ones({}, at::kFloat); };
  keep(all_.first, !names.first.empty(), zeros);
  keep(all_.second, !names.second.empty(), zeros);
  if (options.kind == OptimizerKind::kNAdam) {
    keep(all_.third, true, product);
  } else {
    keep(all_.third, !names.third.empty(), zeros);
  }
  keep(all_.steps, names.steps, scalar);
  make_groups();
}

void Optimizer::make_groups() {
  groups_.assign(1 + options_.groups.size(), {options_, {}});
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const auto found = std::ranges::find_if(options_.groups, [&](const ParameterGroup& group) {
      return glob_matches(group.parameters, names_[i]);
    });
    groups_[static_cast<std::size_t>(found - options_.groups.begin())].members.push_back(i);
  }
  for (std::size_t g = 0; g < options_.groups.size(); ++g) {
    const ParameterGroup& own = options_.groups[g];
    groups_[g].options.learning_rate = own.learning_rate.value_or(options_.learning_rate);
    groups_[g].options.weight_decay = own.weight_decay.value_or(options_.weight_decay);
  }
}

void Optimizer::step(const std::vector<at::Tensor>& gradients, double learning_rate) {
  const c10::NoGradGuard no_grad;
  if (groups_.size() == 1 &&
      std::ranges::all_of(gradients, [](const at::Tensor& gradient) { return gradient.defined(); })) {
    update(options_, all_, gradients, learning_rate);
    return;
  }
  for (const Group& group : groups_) {
    const bool own_rate = group.options.learning_rate != options_.learning_rate;
    update_group(
        group, gradients,
        own_rate ? learning_rate / options_.learning_rate * group.options.learning_rate : learning_rate);
  }
}

void Optimizer::update_group(const Group& group, const std::vector<at::Tensor>& gradients,
                             double learning_rate) {
  Lists some;
  std::vector<at::Tensor> given;
  const auto pick = [](std::vector<at::Tensor>& target, const std::vector<at::Tensor>& source,
                       std::size_t i) {
    if (!source.empty()) target.push_back(source[i]);
  };
  for (const std::size_t i : group.members) {
    if (!gradients[i].defined()) continue;
    pick(some.parameters, all_.parameters, i);
    pick(given, gradients, i);
    pick(some.first, all_.first, i);
    pick(some.second, all_.second, i);
    pick(some.third, all_.third, i);
    pick(some.steps, all_.steps, i);
  }
  if (!given.empty()) update(group.options, some, given, learning_rate);
}

void Optimizer::update(const OptimizerOptions& options, Lists& lists,
                       const std::vector<at::Tensor>& gradients, double learning_rate) {
  for (at::Tensor& step : lists.steps) *step.mutable_data_ptr<float>() += 1;
  switch (options.kind) {
    case OptimizerKind::kAdam:
      at::_fused_adam_(lists.parameters, gradients, lists.first, lists.second, lists.third, lists.steps,
                       learning_rate, options.beta1, options.beta2, options.weight_decay, options.epsilon,
                       options.amsgrad, /*maximize=*/false);
      return;
    case OptimizerKind::kAdamW:
      at::_fused_adamw_(lists.parameters, gradients, lists.first, lists.second, lists.third, lists.steps,
                        learning_rate, options.beta1, options.beta2, options.weight_decay, options.epsilon,
                        options.amsgrad, /*maximize=*/false);
      return;
    case OptimizerKind::kSGD:
      if (lists.steps.empty()) {
        // A momentum buffer of zeros gives exactly what PyTorch computes in a first step, so no first step is
        // special.
        at::_fused_sgd_(lists.parameters, gradients, lists.first, options.weight_decay, options.momentum,
                        learning_rate, /*dampening=*/0, options.nesterov, /*maximize=*/false,
                        /*is_first_step=*/false);
        return;
      }
      break;
    default:
      break;
  }
  for (std::size_t i = 0; i < lists.parameters.size(); ++i) {
    const auto at = [i](std::vector<at::Tensor>& list) { return list.empty() ? nullptr : &list[i]; };
    update_parameter(options, learning_rate, lists.parameters[i], gradients[i],
                     {at(lists.first), at(lists.second), at(lists.third), at(lists.steps)});
  }
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> named;
  const StateNames names = state_of(options_);
  const auto add = [&](std::string_view what, const std::vector<at::Tensor>& list) {
    for (std::size_t i = 0; i < list.size(); ++i)
      named.push_back({std::string(what) + "." + names_[i], list[i]});
  };
  add(names.first, all_.first);
  add(names.second, all_.second);
  add(names.third, all_.third);
  add("step", all_.steps);
  return named;
}

std::uint64_t Optimizer::state_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto* list : {&all_.first, &all_.second, &all_.third, &all_.steps})
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

bool is_finite(const at::Tensor& values) { return largest_magnitude(values) < kernels::kInfinityBits; }

bool has_nan(const at::Tensor& values) { return largest_magnitude(values) > kernels::kInfinityBits; }

}  // namespace wasmgrad::training
