// Strided convolutions without padding on tensors.
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "wasmgrad/training/torch/kernels/operators.hpp"

namespace wasmgrad::training::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Every stride-th row and column of images.
at::Tensor view_of(const at::Tensor& x, const std::vector<std::int64_t>& stride) {
  return x.slice(2, 0, std::nullopt, stride.front()).slice(3, 0, std::nullopt, stride.back());
}

/// A copy of those pixels. Two slices of torch's would fill an image with zeros for each of their gradients.
struct Pixels : torch::autograd::Function<Pixels> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, std::vector<std::int64_t> stride) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor part = view_of(x, stride);
    at::Tensor y = at::empty(part.sizes(), x.options(), at::MemoryFormat::ChannelsLast);
    y.copy_(part);
    context->saved_data["sizes"] = x.sizes().vec();
    context->saved_data["stride"] = std::move(stride);
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor& dy = gradients[0];
    at::Tensor dx =
        at::empty(context->saved_data["sizes"].toIntVector(), dy.options(), at::MemoryFormat::ChannelsLast);
    dx.zero_();
    view_of(dx, context->saved_data["stride"].toIntVector()).copy_(dy);
    return {dx, at::Tensor()};
  }
};

}  // namespace

at::Tensor strided_conv2d(const at::Tensor& x, const Conv2d& conv, std::int64_t groups) {
  const bool pointwise =
      x.dim() == 4 && x.numel() != 0 && conv.weight.size(2) == 1 && conv.weight.size(3) == 1;
  if (pointwise)
    return at::conv2d(Pixels::apply(x, conv.stride), conv.weight, conv.bias,
                      /*stride=*/at::IntArrayRef({1, 1}), conv.padding, conv.dilation, groups);
  return channels_last(
      at::conv2d(x.contiguous(), conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, groups));
}

}  // namespace wasmgrad::training::kernels
