// Dropout on tensors: threads over blocks, autograd, and the variant that also flattens a channels-last
// image.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "wasmgrad/training/torch/kernels/operators.hpp"
#include "wasmgrad/training/torch/kernels/transpose.hpp"

namespace wasmgrad::training::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kBlocksPerTask = 64;

at::Tensor new_mask(std::int64_t rows, std::int64_t columns) {
  return at::empty({rows, dropout_blocks(columns) * kDropoutMaskBytes}, at::kByte);
}

/// A dense f32 tensor with the elements of x, in x's own memory order where it has one.
at::Tensor dense(const at::Tensor& x) { return x.is_non_overlapping_and_dense() ? x : x.contiguous(); }

struct Dropout : torch::autograd::Function<Dropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, double probability,
                            DropoutKey key) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor x = dense(input);
    at::Tensor y = at::empty_like(x);
    at::Tensor mask = new_mask(1, x.numel());
    const DropoutRate rate = dropout_rate(probability);
    const auto* in = x.const_data_ptr<float>();
    auto* out = y.mutable_data_ptr<float>();
    auto* bits = mask.mutable_data_ptr<std::uint8_t>();
    const std::int64_t elements = x.numel();
    at::parallel_for(0, dropout_blocks(elements), kBlocksPerTask, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * kDropoutBlock;
      const std::int64_t last = std::min(elements, end * kDropoutBlock);
      dropout_kernels().forward(in + first, out + first, bits + first / 8, last - first, begin, key, rate);
    });
    context->saved_data["probability"] = probability;
    context->saved_data["sizes"] = x.sizes().vec();
    context->saved_data["strides"] = x.strides().vec();
    context->save_for_backward({mask});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor mask = context->get_saved_variables()[0];
    const DropoutRate rate = dropout_rate(context->saved_data["probability"].toDouble());
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const auto strides = context->saved_data["strides"].toIntVector();
    // The mask counts elements in the memory order of x: the gradient has to lie the same way.
    at::Tensor dy = gradients[0];
    at::Tensor dx = at::empty_strided(sizes, strides, dy.options());
    if (dy.strides() != dx.strides()) dy = at::empty_like(dx).copy_(dy);
    const auto* in = dy.const_data_ptr<float>();
    const auto* bits = mask.const_data_ptr<std::uint8_t>();
    auto* out = dx.mutable_data_ptr<float>();
    const std::int64_t elements = dx.numel();
    at::parallel_for(0, dropout_blocks(elements), kBlocksPerTask, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * kDropoutBlock;
      const std::int64_t last = std::min(elements, end * kDropoutBlock);
      dropout_kernels().backward(in + first, bits + first / 8, out + first, last - first, rate);
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

/// x is channels-last [N, C, H, W]; a row of the result is one sample in C, H, W order, with blocks of its
/// own.
struct FlattenDropout : torch::autograd::Function<FlattenDropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double probability,
                            DropoutKey key) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const std::int64_t samples = x.size(0);
    const std::int64_t channels = x.size(1);
    const std::int64_t pixels = x.size(2) * x.size(3);
    const std::int64_t columns = channels * pixels;
    at::Tensor y = at::empty({samples, columns}, x.options());
    at::Tensor mask = new_mask(samples, columns);
    const DropoutRate rate = dropout_rate(probability);
    const auto* in = x.const_data_ptr<float>();
    auto* out = y.mutable_data_ptr<float>();
    auto* bits = mask.mutable_data_ptr<std::uint8_t>();
    at::parallel_for(0, samples, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> row(static_cast<std::size_t>(columns));  // stays in cache between the two passes
      for (std::int64_t n = begin; n < end; ++n) {
        transpose(in + n * columns, pixels, channels, row.data());
        dropout_kernels().forward(row.data(), out + n * columns, bits + n * mask.stride(0), columns,
                                  n * dropout_blocks(columns), key, rate);
      }
    });
    context->saved_data["probability"] = probability;
    context->saved_data["sizes"] = x.sizes().vec();
    context->save_for_backward({mask});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor mask = context->get_saved_variables()[0];
    const DropoutRate rate = dropout_rate(context->saved_data["probability"].toDouble());
    const auto sizes = context->saved_data["sizes"].toIntVector();
    const std::int64_t pixels = sizes[2] * sizes[3];
    const std::int64_t columns = sizes[1] * pixels;
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx = at::empty(sizes, dy.options(), at::MemoryFormat::ChannelsLast);
    const auto* in = dy.const_data_ptr<float>();
    const auto* bits = mask.const_data_ptr<std::uint8_t>();
    auto* out = dx.mutable_data_ptr<float>();
    at::parallel_for(0, sizes[0], 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> row(static_cast<std::size_t>(columns));
      for (std::int64_t n = begin; n < end; ++n) {
        dropout_kernels().backward(in + n * columns, bits + n * mask.stride(0), row.data(), columns, rate);
        transpose(row.data(), sizes[1], pixels, out + n * columns);
      }
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor dropout(const at::Tensor& x, double probability, const DropoutKey& key) {
  TORCH_CHECK(x.scalar_type() == at::kFloat, "dropout: the input is ", x.scalar_type(), ", expected f32");
  return probability == 0 || x.numel() == 0 ? x : Dropout::apply(x, probability, key);
}

at::Tensor flatten_dropout(const at::Tensor& x, double probability, const DropoutKey& key) {
  const bool fused = probability != 0 && x.dim() == 4 && x.scalar_type() == at::kFloat && x.numel() != 0 &&
                     x.is_contiguous(at::MemoryFormat::ChannelsLast) && !x.is_contiguous();
  return fused ? FlattenDropout::apply(x, probability, key) : dropout(x.flatten(1), probability, key);
}

}  // namespace wasmgrad::training::kernels
