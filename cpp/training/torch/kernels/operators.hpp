// The operators that lowering/ puts into graphs in place of PyTorch's, each with its own backward. Torch
// header.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "wasmgrad/training/torch/kernels/dropout.hpp"

namespace wasmgrad::training::kernels {

/// x.to(f32) * scale + offset, row-major; `batch` itself when that changes nothing. No gradient: it is the
/// data.
at::Tensor to_float(const at::Tensor& batch, double scale, double offset);

/// An f32 tensor rounded to bfloat16, or a bfloat16 tensor as f32; tensors of other types as they are.
at::Tensor to_bf16(const at::Tensor& x);
at::Tensor to_f32(const at::Tensor& x);

/// Dropout with probability in 0..1, in the memory order and type of x, f32 or bfloat16.
at::Tensor dropout(const at::Tensor& x, double probability, const DropoutKey& key);

/// dropout(x.flatten(1)) for x [N, C, H, W] in either layout, without a separate reordering pass.
at::Tensor flatten_dropout(const at::Tensor& x, double probability, const DropoutKey& key);

/// 2x2 max pooling with stride 2 of x, or of relu(x), [N, C, H, W]; the result is channels-last.
at::Tensor max_pool2x2(const at::Tensor& x, bool relu);

/// x [N, C, H, W] in channels-last memory, also where C is 1 and PyTorch would call it both.
at::Tensor channels_last(const at::Tensor& x);

/// Training-mode batch norm of the data followed by a convolution (groups 1), without the gradient of the
/// normalised image.
struct InputNorm {
  double scale, offset;  ///< of the batch, as in to_float
  at::Tensor gamma, beta, running_mean, running_var;
  double momentum, epsilon;
};
struct Conv2d {
  at::Tensor weight;
  std::optional<at::Tensor> bias;
  std::vector<std::int64_t> stride, padding, dilation;
};
/// batch is [N, C, H, W]; the result is channels-last. Updates the running statistics as PyTorch does.
at::Tensor input_norm_conv2d(const at::Tensor& batch, const InputNorm& norm, const Conv2d& conv);

/// at::conv2d of x [N, C, H, W] in channels-last memory, with a stride and no padding; so is the result. A
/// 1x1 kernel reads only the pixels that it needs.
at::Tensor strided_conv2d(const at::Tensor& x, const Conv2d& conv, std::int64_t groups);

/// Batch norm in training mode, which updates the running statistics. Of channels-last images [N, C, H, W]
/// the sums are taken in double, as torch takes them of row-major ones; of others it is torch's. Vectors may
/// be undefined, as torch's may be None. x may be bfloat16, as is the result then; all else is f32.
/// `ending` follows it.
struct BatchNormParts {
  at::Tensor weight, bias, running_mean, running_var;
  double momentum, epsilon;
};
struct NormEnding {
  at::Tensor residual;  ///< is added, unless it is undefined
  bool clamped;         ///< to 0 and above, and to `upper` where that is finite
  double upper;
};
at::Tensor batch_norm(const at::Tensor& x, const BatchNormParts& norm, const NormEnding& ending);

/// Throw c10::Error when x has a single value a channel to take statistics of: in a batch for batch norm, in
/// an image for instance norm.
void check_batch_norm(const at::Tensor& x);
void check_instance_norm(const at::Tensor& x);

/// Makes the operators known to TorchScript under the namespace `wasmgrad`. May be called any number of
/// times.
void register_operators();

}  // namespace wasmgrad::training::kernels
