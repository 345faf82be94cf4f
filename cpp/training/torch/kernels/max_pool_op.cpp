// Max pooling on tensors: threads over images, and autograd with one byte an output instead of PyTorch's
// eight.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "wasmgrad/training/torch/kernels/max_pool.hpp"
#include "wasmgrad/training/torch/kernels/operators.hpp"

namespace wasmgrad::training::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct MaxPool2x2 : torch::autograd::Function<MaxPool2x2> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, bool relu) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor x = channels_last(input);
    const PoolShape shape{x.size(2), x.size(3), x.size(1)};
    const std::vector<std::int64_t> out_sizes{x.size(0), x.size(1), shape.out_height(), shape.out_width()};
    at::Tensor y = at::empty(out_sizes, x.options(), at::MemoryFormat::ChannelsLast);
    at::Tensor argmax = at::empty(out_sizes, x.options().dtype(at::kByte), at::MemoryFormat::ChannelsLast);
    const std::int64_t in_image = shape.height * shape.width * shape.channels;
    const std::int64_t out_image = shape.out_height() * shape.out_width() * shape.channels;
    const auto* in = x.const_data_ptr<float>();
    auto* out = y.mutable_data_ptr<float>();
    auto* index = argmax.mutable_data_ptr<std::uint8_t>();
    at::parallel_for(0, x.size(0), 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n)
        max_pool_forward(in + n * in_image, shape, relu, out + n * out_image, index + n * out_image);
    });
    context->saved_data["sizes"] = x.sizes().vec();
    context->save_for_backward({std::move(argmax)});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor argmax = context->get_saved_variables()[0];
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const PoolShape shape{sizes[2], sizes[3], sizes[1]};
    const at::Tensor dy = channels_last(gradients[0]);
    at::Tensor dx = at::empty(sizes, dy.options(), at::MemoryFormat::ChannelsLast);
    const std::int64_t in_image = shape.height * shape.width * shape.channels;
    const std::int64_t out_image = shape.out_height() * shape.out_width() * shape.channels;
    const auto* in = dy.const_data_ptr<float>();
    const auto* index = argmax.const_data_ptr<std::uint8_t>();
    auto* out = dx.mutable_data_ptr<float>();
    at::parallel_for(0, sizes[0], 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n)
        max_pool_backward(in + n * out_image, index + n * out_image, shape, out + n * in_image);
    });
    return {dx, at::Tensor()};
  }
};

}  // namespace

at::Tensor max_pool2x2(const at::Tensor& x, bool relu) {
  const bool own =
      x.dim() == 4 && x.scalar_type() == at::kFloat && x.size(2) >= 2 && x.size(3) >= 2 && x.numel() != 0;
  if (own) return MaxPool2x2::apply(x, relu);
  return at::max_pool2d(relu ? at::relu(x) : x, {2, 2});
}

}  // namespace wasmgrad::training::kernels
