// The batches of one epoch, in its order. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "wasmgrad/training/dataset_storage.hpp"
#include "wasmgrad/training/options.hpp"

namespace wasmgrad::training {

struct Batch {
  at::Tensor inputs, targets;
};

/// Steps of an epoch over so many samples; the last batch may be smaller than the others.
std::int64_t batches_of(const TrainerOptions& options, std::int64_t samples);

class EpochBatches {
 public:
  /// `data` must outlive this. `epoch` is 0-based.
  EpochBatches(const Dataset::Storage& data, const TrainerOptions& options, std::int64_t epoch);

  /// Valid until the next call: the rows are gathered into the same buffers.
  Batch batch(std::int64_t index);

 private:
  const Dataset::Storage& data_;
  std::int64_t batch_size_;
  at::Tensor order_;  ///< undefined without shuffling
  at::Tensor inputs_, targets_;
};

}  // namespace wasmgrad::training
