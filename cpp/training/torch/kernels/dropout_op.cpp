// Dropout on tensors: threads over blocks, autograd, and the variant that also flattens a channels-last
// image.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "wasmgrad/training/torch/kernels/elements.hpp"
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

/// A dense tensor with the elements of x, in x's own memory order where it has one.
at::Tensor dense(const at::Tensor& x) { return x.is_non_overlapping_and_dense() ? x : x.contiguous(); }

/// Elements of a tensor as f32: where they lie, or a copy. What is computed is put back the same way.
const float* read(const float* from, std::int64_t, std::vector<float>&) { return from; }
const float* read(const Bf16* from, std::int64_t count, std::vector<float>& copy) {
  copy.resize(static_cast<std::size_t>(count));
  widen(from, count, copy.data());
  return copy.data();
}
float* place_for(float* to, std::int64_t, std::vector<float>&) { return to; }
float* place_for(Bf16*, std::int64_t count, std::vector<float>& copy) {
  copy.resize(static_cast<std::size_t>(count));
  return copy.data();
}
void write(const float*, std::int64_t, float*) {}
void write(const float* from, std::int64_t count, Bf16* to) { narrow(from, count, to); }

template <class Element>
struct Dropout : torch::autograd::Function<Dropout<Element>> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, double probability,
                            DropoutKey key) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor x = dense(input);
    at::Tensor y = at::empty_like(x);
    at::Tensor mask = new_mask(1, x.numel());
    const DropoutRate rate = dropout_rate(probability);
    const Element* in = elements<Element>(x);
    Element* out = elements<Element>(y);
    auto* bits = mask.mutable_data_ptr<std::uint8_t>();
    const std::int64_t total = x.numel();
    at::parallel_for(0, dropout_blocks(total), kBlocksPerTask, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * kDropoutBlock;
      const std::int64_t count = std::min(total, end * kDropoutBlock) - first;
      std::vector<float> copy, result;
      const float* values = read(in + first, count, copy);
      float* results = place_for(out + first, count, result);
      dropout_kernels().forward(values, results, bits + first / 8, count, begin, key, rate);
      write(results, count, out + first);
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
    const Element* in = elements<Element>(dy);
    const auto* bits = mask.const_data_ptr<std::uint8_t>();
    Element* out = elements<Element>(dx);
    const std::int64_t total = dx.numel();
    at::parallel_for(0, dropout_blocks(total), kBlocksPerTask, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t first = begin * kDropoutBlock;
      const std::int64_t count = std::min(total, end * kDropoutBlock) - first;
      std::vector<float> copy, result;
      const float* values = read(in + first, count, copy);
      float* results = place_for(out + first, count, result);
      dropout_kernels().backward(values, bits + first / 8, results, count, rate);
      write(results, count, out + first);
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

/// x is channels-last [N, C, H, W]; a row of the result is one sample in C, H, W order, with blocks of its
/// own.
template <class Element>
struct FlattenDropout : torch::autograd::Function<FlattenDropout<Element>> {
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
    const Element* in = elements<Element>(x);
    Element* out = elements<Element>(y);
    auto* bits = mask.mutable_data_ptr<std::uint8_t>();
    at::parallel_for(0, samples, 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> row(static_cast<std::size_t>(columns));  // stays in cache between the two passes
      std::vector<float> copy;
      for (std::int64_t n = begin; n < end; ++n) {
        transpose(read(in + n * columns, columns, copy), pixels, channels, row.data());
        float* results = place_for(out + n * columns, columns, copy);
        dropout_kernels().forward(row.data(), results, bits + n * mask.stride(0), columns,
                                  n * dropout_blocks(columns), key, rate);
        write(results, columns, out + n * columns);
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
    const Element* in = elements<Element>(dy);
    const auto* bits = mask.const_data_ptr<std::uint8_t>();
    Element* out = elements<Element>(dx);
    at::parallel_for(0, sizes[0], 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> row(static_cast<std::size_t>(columns));
      std::vector<float> copy;
      for (std::int64_t n = begin; n < end; ++n) {
        dropout_kernels().backward(read(in + n * columns, columns, copy), bits + n * mask.stride(0),
                                   row.data(), columns, rate);
        float* results = place_for(out + n * columns, columns, copy);
        transpose(row.data(), sizes[1], pixels, results);
        write(results, columns, out + n * columns);
      }
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

bool is_element(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
}

}  // namespace

at::Tensor dropout(const at::Tensor& x, double probability, const DropoutKey& key) {
  TORCH_CHECK(is_element(x), "dropout: the input is ", x.scalar_type(), ", expected f32");
  if (probability == 0 || x.numel() == 0) return x;
  return x.scalar_type() == at::kFloat ? Dropout<float>::apply(x, probability, key)
                                       : Dropout<Bf16>::apply(x, probability, key);
}

at::Tensor flatten_dropout(const at::Tensor& x, double probability, const DropoutKey& key) {
  const bool fused = probability != 0 && x.dim() == 4 && is_element(x) && x.numel() != 0 &&
                     x.is_contiguous(at::MemoryFormat::ChannelsLast) && !x.is_contiguous();
  if (!fused) return dropout(x.flatten(1), probability, key);
  return x.scalar_type() == at::kFloat ? FlattenDropout<float>::apply(x, probability, key)
                                       : FlattenDropout<Bf16>::apply(x, probability, key);
}

}  // namespace wasmgrad::training::kernels
