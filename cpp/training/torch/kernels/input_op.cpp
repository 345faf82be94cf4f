// Operators on the batch itself: conversion to f32, channels-last views, and batch norm + convolution without
// an image gradient.
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/ones.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "wasmgrad/training/torch/kernels/input_table.hpp"
#include "wasmgrad/training/torch/kernels/operators.hpp"

namespace wasmgrad::training::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kPixelsPerTask = 32768;

void look_up_all(const at::Tensor& pixels, const PixelTable& table, at::Tensor& out) {
  const auto* in = pixels.const_data_ptr<std::uint8_t>();
  auto* values = out.mutable_data_ptr<float>();
  at::parallel_for(0, pixels.numel(), kPixelsPerTask, [&](std::int64_t begin, std::int64_t end) {
    look_up(in + begin, end - begin, table, values + begin);
  });
}

/// The data after normalisation, without and with gamma and beta.
struct Normalised {
  at::Tensor plain, affine;
};

Normalised normalise_pixels(const at::Tensor& batch, const InputNorm& norm) {
  const at::Tensor pixels = batch.contiguous();
  const auto count = static_cast<double>(pixels.numel());
  const PixelSums sums = sum_pixels(pixels.const_data_ptr<std::uint8_t>(), pixels.numel());
  const auto sum = static_cast<double>(sums.sum);
  const double pixel_mean = sum / count;
  const double pixel_variance = static_cast<double>(sums.square_sum) / count - pixel_mean * pixel_mean;
  const double mean = pixel_mean * norm.scale + norm.offset;
  const double variance = pixel_variance * norm.scale * norm.scale;
  const double unbiased = variance * count / (count - 1);
  auto& running_mean = norm.running_mean.mutable_data_ptr<float>()[0];
  auto& running_var = norm.running_var.mutable_data_ptr<float>()[0];
  running_mean = static_cast<float>((1 - norm.momentum) * running_mean + norm.momentum * mean);
  running_var = static_cast<float>((1 - norm.momentum) * running_var + norm.momentum * unbiased);

  const double inverse_deviation = 1 / std::sqrt(variance + norm.epsilon);
  const float gamma = norm.gamma.const_data_ptr<float>()[0];
  const float beta = norm.beta.const_data_ptr<float>()[0];
  PixelTable plain{};
  PixelTable affine{};
  for (std::size_t pixel = 0; pixel < plain.size(); ++pixel) {
    const double value = static_cast<double>(pixel) * norm.scale + norm.offset;
    plain[pixel] = static_cast<float>((value - mean) * inverse_deviation);
    affine[pixel] = plain[pixel] * gamma + beta;
  }
  Normalised result{at::empty(pixels.sizes(), at::kFloat), at::empty(pixels.sizes(), at::kFloat)};
  look_up_all(pixels, plain, result.plain);
  look_up_all(pixels, affine, result.affine);
  return result;
}

Normalised normalise_channels(const at::Tensor& batch, const InputNorm& norm) {
  const at::Tensor x = to_float(batch, norm.scale, norm.offset);
  at::Tensor plain =
      std::get<0>(at::native_batch_norm(x, std::nullopt, std::nullopt, norm.running_mean, norm.running_var,
                                        /*training=*/true, norm.momentum, norm.epsilon));
  at::Tensor affine = plain * norm.gamma.view({1, -1, 1, 1}) + norm.beta.view({1, -1, 1, 1});
  return {std::move(plain), std::move(affine)};
}

bool is_one_float(const at::Tensor& tensor) {
  return tensor.numel() == 1 && tensor.scalar_type() == at::kFloat;
}

bool is_table_case(const at::Tensor& batch, const InputNorm& norm) {
  return batch.scalar_type() == at::kByte && batch.size(1) == 1 && is_one_float(norm.gamma) &&
         is_one_float(norm.beta) && is_one_float(norm.running_mean) && is_one_float(norm.running_var);
}

std::tuple<at::Tensor, at::Tensor> weight_gradient(const at::Tensor& dy, const at::Tensor& x,
                                                   const Conv2d& conv, bool with_bias) {
  auto [none, weight, bias] = at::convolution_backward(
      dy, x, conv.weight, at::IntArrayRef({conv.weight.size(0)}), conv.stride, conv.padding, conv.dilation,
      /*transposed=*/false, {0, 0}, /*groups=*/1, {false, true, with_bias});
  return {weight, bias};
}

// With y = conv(gamma * n + beta, W) over the normalised data n, and S = the gradient of conv(1, W) by W (1
// inside the image, 0 in its padding): dW = gamma * d conv(n, W) + beta * S, dgamma = <W, d conv(n, W)> and
// dbeta = <W, S>, per input channel.
struct InputNormConv2d : torch::autograd::Function<InputNormConv2d> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& batch, const at::Tensor& gamma,
                            const at::Tensor& beta, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const InputNorm& norm, Conv2d conv) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const Normalised data =
        is_table_case(batch, norm) ? normalise_pixels(batch, norm) : normalise_channels(batch, norm);
    at::Tensor plain = channels_last(data.plain);
    at::Tensor y =
        at::conv2d(channels_last(data.affine), weight, bias, conv.stride, conv.padding, conv.dilation);
    context->save_for_backward({std::move(plain), gamma, beta, weight});
    context->saved_data["bias"] = bias.has_value() && bias->requires_grad();
    context->saved_data["stride"] = std::move(conv.stride);
    context->saved_data["padding"] = std::move(conv.padding);
    context->saved_data["dilation"] = std::move(conv.dilation);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& plain = saved[0];
    const at::Tensor gamma = saved[1].view({1, -1, 1, 1});
    const at::Tensor beta = saved[2].view({1, -1, 1, 1});
    const Conv2d conv{saved[3], std::nullopt, context->saved_data["stride"].toIntVector(),
                      context->saved_data["padding"].toIntVector(),
                      context->saved_data["dilation"].toIntVector()};
    const at::Tensor dy = channels_last(gradients[0]);
    const auto [normalised, none] = weight_gradient(dy, plain, conv, false);
    const at::Tensor summed = dy.sum(0, /*keepdim=*/true);
    const at::Tensor ones = at::ones({1, plain.size(1), plain.size(2), plain.size(3)}, plain.options());
    const auto [constant, none_too] = weight_gradient(summed.contiguous(), ones, conv, false);

    at::Tensor d_weight = (normalised * gamma + constant * beta).contiguous();
    at::Tensor d_gamma = (conv.weight * normalised).sum(at::IntArrayRef({0, 2, 3}));
    at::Tensor d_beta = (conv.weight * constant).sum(at::IntArrayRef({0, 2, 3}));
    at::Tensor d_bias =
        context->saved_data["bias"].toBool() ? summed.sum(at::IntArrayRef({0, 2, 3})) : at::Tensor();
    return {at::Tensor(), d_gamma, d_beta, d_weight, d_bias, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor to_float(const at::Tensor& batch, double scale, double offset) {
  if (batch.scalar_type() == at::kByte) {
    const at::Tensor pixels = batch.contiguous();
    PixelTable table{};
    for (std::size_t pixel = 0; pixel < table.size(); ++pixel)
      table[pixel] = static_cast<float>(static_cast<double>(pixel) * scale + offset);
    at::Tensor out = at::empty(pixels.sizes(), at::kFloat);
    look_up_all(pixels, table, out);
    return out;
  }
  at::Tensor x = batch.to(at::kFloat);
  if (scale != 1) x = at::mul(x, scale);
  if (offset != 0) x = at::add(x, offset);
  return x;
}

at::Tensor to_bf16(const at::Tensor& x) { return x.scalar_type() == at::kFloat ? x.to(at::kBFloat16) : x; }

at::Tensor to_f32(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x; }

at::Tensor channels_last(const at::Tensor& x) {
  if (x.dim() != 4) return x;
  if (x.size(1) != 1) return x.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor dense = x.contiguous();
  return dense.as_strided(dense.sizes(), {dense.stride(0), 1, dense.stride(2), 1});
}

void check_batch_norm(const at::Tensor& x) {
  TORCH_CHECK(x.dim() < 2 || x.numel() != x.size(1),
              "Expected more than 1 value per channel when training, got input size ", x.sizes());
}

void check_instance_norm(const at::Tensor& x) {
  TORCH_CHECK(x.dim() < 3 || x.numel() != x.size(0) * x.size(1),
              "Expected more than 1 spatial element when training, got input size ", x.sizes());
}

at::Tensor input_norm_conv2d(const at::Tensor& batch, const InputNorm& norm, const Conv2d& conv) {
  check_batch_norm(batch);
  return InputNormConv2d::apply(batch, norm.gamma, norm.beta, conv.weight, conv.bias, norm, conv);
}

}  // namespace wasmgrad::training::kernels
