// The batches of a pass over a dataset, in its order. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "wasmgrad/training/options/options.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"

namespace wasmgrad::training {

/// Rows of every column of a dataset.
struct Batch {
  std::vector<at::Tensor> inputs, targets;
};

/// Batches of an epoch over so many samples; the last one may be smaller than the others, unless it is
/// dropped. An epoch has at least one.
std::int64_t batches_of(const TrainerOptions& options, std::int64_t samples);

/// Rows begin..begin+count of a column to run a model on. Its in-place operators may write to rows that need
/// no conversion, so those are a copy.
at::Tensor model_rows(const at::Tensor& column, std::int64_t begin, std::int64_t count);

class EpochBatches {
 public:
  /// `data` must outlive this.
  static EpochBatches in_order(const DataTensors& data, std::int64_t batch_size);
  /// In the order of this 0-based epoch.
  static EpochBatches of_epoch(const DataTensors& data, const TrainerOptions& options, std::int64_t epoch);

  /// The last one may be smaller than the others.
  [[nodiscard]] std::int64_t count() const { return (data_.size + batch_size_ - 1) / batch_size_; }
  /// Valid until the next call: the rows are gathered into the same buffers.
  Batch batch(std::int64_t index);

 private:
  EpochBatches(const DataTensors& data, std::int64_t batch_size, at::Tensor order);

  const DataTensors& data_;
  std::int64_t batch_size_;
  at::Tensor order_;  ///< rows of the columns; undefined: one after the other
  std::vector<at::Tensor> inputs_, targets_;
};

}  // namespace wasmgrad::training
