// The batches of a pass over a dataset, in its order. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "wasmgrad/training/data/dealing.hpp"
#include "wasmgrad/training/options/options.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"

namespace wasmgrad::training {

/// Rows of every column of a dataset.
struct Batch {
  std::vector<at::Tensor> inputs, targets;
};

/// Batches of an epoch over so many samples of the process's own data set; the last one may be smaller than
/// the others, unless it is dropped. An epoch has at least one.
std::int64_t batches_of(const TrainerOptions& options, std::int64_t samples, const Dealing& dealing = {});

/// Rows begin..begin+count of a column to run a model on. Its in-place operators may write to rows that need
/// no conversion, so those are a copy.
at::Tensor model_rows(const at::Tensor& column, std::int64_t begin, std::int64_t count);

class EpochBatches {
 public:
  /// `data` must outlive this.
  static EpochBatches in_order(const DataTensors& data, std::int64_t batch_size, const Dealing& dealing = {});
  /// In the order of this 0-based epoch.
  static EpochBatches of_epoch(const DataTensors& data, const TrainerOptions& options, std::int64_t epoch,
                               const Dealing& dealing = {});

  /// The last one may be smaller than the others.
  [[nodiscard]] std::int64_t count() const { return (data_.size + batch_size_ - 1) / batch_size_; }
  /// How many rows of a batch are this process's.
  [[nodiscard]] std::int64_t own_rows(std::int64_t index) const { return rows(index).count; }
  /// How many rows of the data set a batch has; with shards, this process's alone.
  [[nodiscard]] std::int64_t all_rows(std::int64_t index) const;
  /// This process's part. Valid until the next call: the rows are gathered into the same buffers.
  Batch batch(std::int64_t index);

 private:
  EpochBatches(const DataTensors& data, std::int64_t batch_size, at::Tensor order, const Dealing& dealing);
  [[nodiscard]] RowRange rows(std::int64_t index) const {
    return dealing_.rows_of_batch(index, batch_size_, data_.size);
  }

  const DataTensors& data_;
  std::int64_t batch_size_;
  Dealing dealing_;
  at::Tensor order_;  ///< rows of the columns; undefined: one after the other
  std::vector<at::Tensor> inputs_, targets_;
};

}  // namespace wasmgrad::training
