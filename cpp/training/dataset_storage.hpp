// What a Dataset holds. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "wasmgrad/training/dataset.hpp"

namespace wasmgrad::training {

struct Dataset::Storage {
  at::Tensor inputs;   ///< [N, ...], in the type it arrived in, contiguous
  at::Tensor targets;  ///< classification: int64 [N]; regression: f32 [N, ...]
  std::int64_t classes = 0;
};

/// A contiguous tensor of its own with the view's contents; the view's bytes may be unaligned.
at::Tensor copy_of(const TensorView& view);

/// Rows begin..begin+count to run a model on. Its in-place operators may write to an f32 batch, so f32 rows
/// are a copy.
at::Tensor model_rows(const at::Tensor& inputs, std::int64_t begin, std::int64_t count);

/// Targets in the form a loss of this kind takes. Errors as Dataset::create.
Expected<at::Tensor> targets_for(const TensorView& targets, LossKind loss);

}  // namespace wasmgrad::training
