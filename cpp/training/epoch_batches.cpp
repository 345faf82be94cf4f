#include "wasmgrad/training/epoch_batches.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>

#include "wasmgrad/training/data_order.hpp"

namespace wasmgrad::training {

namespace {

at::Tensor buffer_for(const at::Tensor& source, std::int64_t rows) {
  auto shape = source.sizes().vec();
  shape[0] = rows;
  return at::empty(shape, source.scalar_type());
}

}  // namespace

std::int64_t batches_of(const TrainerOptions& options, std::int64_t samples) {
  const std::int64_t all = (samples + options.batch_size - 1) / options.batch_size;
  return std::min(all, options.batches_per_epoch.value_or(all));
}

EpochBatches::EpochBatches(const Dataset::Storage& data, const TrainerOptions& options, std::int64_t epoch)
    : data_(data), batch_size_(options.batch_size) {
  if (!options.shuffle) return;
  const std::int64_t samples = data.inputs.size(0);
  order_ = at::empty({samples}, at::kLong);
  shuffled_order({order_.mutable_data_ptr<std::int64_t>(), static_cast<std::size_t>(samples)}, options.seed,
                 epoch);
  inputs_ = buffer_for(data.inputs, std::min(samples, batch_size_));
  targets_ = buffer_for(data.targets, std::min(samples, batch_size_));
}

Batch EpochBatches::batch(std::int64_t index) {
  const std::int64_t begin = index * batch_size_;
  const std::int64_t count = std::min(batch_size_, data_.inputs.size(0) - begin);
  if (!order_.defined())
    return {model_rows(data_.inputs, begin, count), data_.targets.narrow(0, begin, count)};
  const at::Tensor rows = order_.narrow(0, begin, count);
  Batch batch{inputs_.narrow(0, 0, count), targets_.narrow(0, 0, count)};
  at::index_select_out(batch.inputs, data_.inputs, 0, rows);
  at::index_select_out(batch.targets, data_.targets, 0, rows);
  return batch;
}

}  // namespace wasmgrad::training
