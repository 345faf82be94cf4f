// Rows as torch sees them: tensors over a dataset's columns, or over a batch of the caller's. Torch header,
// private to training/torch/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "wasmgrad/training/data/dataset.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

struct DataTensors {
  DataTensors() = default;
  /// Shares the rows, which live as long as a tensor over them.
  explicit DataTensors(const Dataset& data);

  std::vector<NamedTensor> inputs;   ///< [N, ...] each, in the type it arrived in, contiguous
  std::vector<NamedTensor> targets;  ///< alike
  at::Tensor index;                  ///< int64: the rows that count; undefined: all
  std::int64_t size = 0;

  /// As Dataset::highest_label().
  [[nodiscard]] Expected<std::int64_t> highest_label(std::size_t target,
                                                     std::optional<std::int64_t> ignored) const;

 private:
  std::optional<Dataset> dataset_;  ///< which finds it once
};

/// A tensor over the view's bytes, to be read while they live; a copy when they are not aligned.
at::Tensor tensor_over(const TensorView& view);

/// Tensors over a batch's views, named in errors as `what` ("input"), which must have a row a sample, as many
/// of them in each as `samples`, unless that is 0 and then set. Errors: kInvalidArgument.
Expected<std::vector<NamedTensor>> columns_over(std::span<const TensorView> views, const char* what,
                                                std::int64_t& samples);

/// A view of a contiguous tensor of a type that has a DType, to be read while it lives.
TensorView view_of(const NamedTensor& column);

/// The rows of an index tensor.
RowIndex rows_of(const at::Tensor& index);

}  // namespace wasmgrad::training
