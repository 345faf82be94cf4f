// A run's tensors on their way into a checkpoint and out of it. Torch header, private to training/torch/.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/state/checkpoint.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

/// Tensors as a checkpoint keeps them: contiguous, and truth values as bytes.
class StoredTensors {
 public:
  /// Errors: kUnsupportedOperation when a tensor's type has no place in the format.
  static Expected<StoredTensors> create(const std::vector<NamedTensor>& tensors);

  [[nodiscard]] const std::vector<TensorView>& views() const noexcept { return views_; }

 private:
  std::vector<at::Tensor> kept_;
  std::vector<TensorView> views_;
};

/// Checks all tensors, then copies into `tensors`; they are untouched on error. Errors: as
/// read_checkpoint().
Status load_tensors(const Checkpoint& checkpoint, const std::vector<NamedTensor>& tensors);

}  // namespace wasmgrad::training
