// Batch norm in training mode on tensors: threads over rows, running statistics, and autograd.
#include <ATen/Parallel.h>
#include <ATen/ops/add.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/hardtanh.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "wasmgrad/training/torch/kernels/batch_norm.hpp"
#include "wasmgrad/training/torch/kernels/elements.hpp"
#include "wasmgrad/training/torch/kernels/operators.hpp"

namespace wasmgrad::training::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The rows in parts, whose number does not depend on that of the threads: nor does any result.
class Parts {
 public:
  explicit Parts(const Rows& rows) : rows_(rows) {
    constexpr std::int64_t kLeast = 256, kMost = 64;
    step_ = std::max(kLeast, (rows.count + kMost - 1) / kMost + 7) / 8 * 8;
    count_ = (rows.count + step_ - 1) / step_;
  }

  /// Calls work(part, rows, first element) for each part.
  template <class Work>
  void each(Work work) const {
    at::parallel_for(0, count_, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t part = begin; part < end; ++part) {
        const std::int64_t first = part * step_;
        work(part, Rows{std::min(step_, rows_.count - first), rows_.channels}, first * rows_.channels);
      }
    });
  }

  /// The sums over all parts of what add(rows, first element, sums) adds to `each` zeros a channel.
  template <class Add>
  [[nodiscard]] std::vector<double> sums(std::int64_t each_channel, Add add) const {
    const auto width = static_cast<std::size_t>(each_channel * rows_.channels);
    std::vector<double> all(width * static_cast<std::size_t>(count_));
    each([&](std::int64_t part, const Rows& rows, std::int64_t first) {
      add(rows, first, all.data() + width * static_cast<std::size_t>(part));
    });
    for (std::size_t i = width; i < all.size(); ++i) all[i % width] += all[i];
    all.resize(width);
    return all;
  }

 private:
  Rows rows_;
  std::int64_t step_ = 0, count_ = 0;
};

/// One value a channel.
float* values(const at::Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

void update(const at::Tensor& running, std::int64_t channel, double value, double momentum) {
  float& kept = values(running)[channel];
  kept = static_cast<float>((1 - momentum) * kept + momentum * value);
}

template <class Element>
struct BatchNorm : torch::autograd::Function<BatchNorm<Element>> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const std::optional<at::Tensor>& residual,
                            const BatchNormParts& norm, const NormEnding& ending) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const Rows rows{x.numel() / x.size(1), x.size(1)};
    const Parts parts(rows);
    const Element* in = elements<Element>(x);
    const auto count = static_cast<double>(rows.count);
    const at::Tensor mean = at::empty({4, rows.channels}, at::kFloat);  // and scale, shift, 1 / deviation
    float *scale = values(mean) + rows.channels, *shift = scale + rows.channels,
          *inverse = shift + rows.channels;
    const auto sums = parts.sums(
        1, [&](const Rows& part, std::int64_t first, double* to) { add_sums(in + first, part, to); });
    for (std::int64_t c = 0; c < rows.channels; ++c)
      values(mean)[c] = static_cast<float>(sums[static_cast<std::size_t>(c)] / count);
    const auto squares = parts.sums(1, [&](const Rows& part, std::int64_t first, double* to) {
      add_squares(in + first, part, values(mean), to);
    });
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const double sum = squares[static_cast<std::size_t>(c)];
      if (norm.running_mean.defined())
        update(norm.running_mean, c, sums[static_cast<std::size_t>(c)] / count, norm.momentum);
      if (norm.running_var.defined()) update(norm.running_var, c, sum / (count - 1), norm.momentum);
      const double deviation = 1 / std::sqrt(sum / count + norm.epsilon);
      inverse[c] = static_cast<float>(deviation);
      scale[c] = static_cast<float>(deviation * weight.const_data_ptr<float>()[c]);
      shift[c] = bias.const_data_ptr<float>()[c];
    }
    at::Tensor y = at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
    const Element* added = residual ? elements<Element>(*residual) : nullptr;
    const auto upper = static_cast<float>(ending.upper);
    parts.each([&](std::int64_t, const Rows& part, std::int64_t first) {
      const Ending<Element> end{added == nullptr ? nullptr : added + first, ending.clamped, upper};
      normalize(in + first, part, values(mean), scale, shift, end, elements<Element>(y) + first);
    });
    context->saved_data["upper"] = ending.upper;
    context->saved_data["residual"] = residual.has_value();
    context->save_for_backward({x, mean, ending.clamped ? y : at::Tensor()});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &mean = saved[1], &y = saved[2];
    const Rows rows{x.numel() / x.size(1), x.size(1)};
    const Parts parts(rows);
    at::Tensor given = channels_last(gradients[0]);
    const auto upper = static_cast<float>(context->saved_data["upper"].toDouble());
    const Element* clamped = y.defined() ? elements<Element>(y) : nullptr;
    const bool has_residual = context->saved_data["residual"].toBool();
    if (has_residual && clamped != nullptr) {  // its gradient is what passed, which then serves for all
      const at::Tensor passed = at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
      parts.each([&](std::int64_t, const Rows& part, std::int64_t first) {
        pass_gradients(elements<Element>(given) + first, {clamped + first, upper}, part.count * part.channels,
                       elements<Element>(passed) + first);
      });
      given = passed;
      clamped = nullptr;
    }
    const auto passed_from = [&](std::int64_t first) {
      return Passed<Element>{clamped == nullptr ? nullptr : clamped + first, upper};
    };
    const Element *in = elements<Element>(x), *dy = elements<Element>(given);
    const float *scale = values(mean) + rows.channels, *inverse = scale + 2 * rows.channels;
    const auto sums = parts.sums(2, [&](const Rows& part, std::int64_t first, double* to) {
      add_gradients(dy + first, in + first, part, values(mean), passed_from(first), to, to + rows.channels);
    });
    const at::Tensor factors = at::empty({2, rows.channels}, at::kFloat);  // mean of dy, slope
    at::Tensor d_weight = at::empty({rows.channels}, at::kFloat);
    at::Tensor d_bias = at::empty({rows.channels}, at::kFloat);
    const auto count = static_cast<double>(rows.count);
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const double sum = sums[static_cast<std::size_t>(c)];
      const double dot = sums[static_cast<std::size_t>(rows.channels + c)];
      const double deviation = inverse[c];
      values(factors)[c] = static_cast<float>(sum / count);
      values(factors)[rows.channels + c] = static_cast<float>(dot * deviation * deviation / count);
      values(d_weight)[c] = static_cast<float>(dot * deviation);
      values(d_bias)[c] = static_cast<float>(sum);
    }
    at::Tensor dx = at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
    parts.each([&](std::int64_t, const Rows& part, std::int64_t first) {
      normalize_backward(dy + first, in + first, part, values(mean), values(factors),
                         values(factors) + rows.channels, scale, passed_from(first),
                         elements<Element>(dx) + first);
    });
    return {dx, d_weight, d_bias, has_residual ? given : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

bool is_vector(const at::Tensor& tensor, std::int64_t channels) {
  return !tensor.defined() || (tensor.scalar_type() == at::kFloat && tensor.is_contiguous() &&
                               tensor.dim() == 1 && tensor.size(0) == channels);
}

/// Pictures in channels-last memory that are not in row-major memory as well.
bool is_channels_last(const at::Tensor& x) {
  return x.dim() == 4 && x.numel() != 0 && !x.is_contiguous() &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast);
}

bool is_for_kernels(const at::Tensor& x, const BatchNormParts& norm) {
  const bool element = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  return element && is_channels_last(x) && x.numel() > x.size(1) && is_vector(norm.weight, x.size(1)) &&
         is_vector(norm.bias, x.size(1)) && is_vector(norm.running_mean, x.size(1)) &&
         is_vector(norm.running_var, x.size(1));
}

/// The ending by torch's operators.
at::Tensor ended(at::Tensor y, const NormEnding& ending) {
  if (ending.residual.defined()) y = at::add(y, ending.residual);
  if (!ending.clamped) return y;
  return std::isinf(ending.upper) ? at::relu(y) : at::hardtanh(y, 0, ending.upper);
}

}  // namespace

at::Tensor batch_norm(const at::Tensor& x, const BatchNormParts& norm, const NormEnding& ending) {
  const at::Tensor& residual = ending.residual;
  if (!is_for_kernels(x, norm)) {
    return ended(at::batch_norm(x, norm.weight, norm.bias, norm.running_mean, norm.running_var,
                                /*training=*/true, norm.momentum, norm.epsilon, /*cudnn_enabled=*/false),
                 ending);
  }
  if (residual.defined() && !(residual.scalar_type() == x.scalar_type() && residual.sizes() == x.sizes() &&
                              is_channels_last(residual)))
    return ended(batch_norm(x, norm, {}), ending);
  const std::optional<at::Tensor> added = residual.defined() ? std::optional(residual) : std::nullopt;
  const at::Tensor scale = norm.weight.defined() ? norm.weight : at::ones({x.size(1)});
  const at::Tensor shift = norm.bias.defined() ? norm.bias : at::zeros({x.size(1)});
  return x.scalar_type() == at::kFloat ? BatchNorm<float>::apply(x, scale, shift, added, norm, ending)
                                       : BatchNorm<Bf16>::apply(x, scale, shift, added, norm, ending);
}

}  // namespace wasmgrad::training::kernels
