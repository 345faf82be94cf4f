#include "wasmgrad/training/torch/data/epoch_batches.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <utility>

#include "wasmgrad/training/data/data_order.hpp"

namespace wasmgrad::training {

namespace {

std::vector<at::Tensor> buffers_for(const std::vector<NamedTensor>& columns, std::int64_t rows) {
  std::vector<at::Tensor> buffers;
  for (const NamedTensor& column : columns) {
    auto shape = column.tensor.sizes().vec();
    shape[0] = rows;
    buffers.push_back(at::empty(shape, column.tensor.scalar_type()));
  }
  return buffers;
}

}  // namespace

std::int64_t batches_of(const TrainerOptions& options, std::int64_t samples, const Dealing& dealing) {
  const std::int64_t size = dealing.own_batch_size(options.batch_size);
  const std::int64_t whole = samples / size;
  const bool all_whole = samples % size == 0;
  const std::int64_t all = all_whole || (options.drop_last && whole > 0) ? whole : whole + 1;
  return std::min(all, options.batches_per_epoch.value_or(all));
}

at::Tensor model_rows(const at::Tensor& column, std::int64_t begin, std::int64_t count) {
  const at::Tensor rows = column.narrow(0, begin, count);
  const bool may_be_written = rows.scalar_type() == at::kFloat || rows.scalar_type() == at::kLong;
  return may_be_written ? rows.clone() : rows;
}

EpochBatches::EpochBatches(const DataTensors& data, std::int64_t batch_size, at::Tensor order,
                           const Dealing& dealing)
    : data_(data), batch_size_(batch_size), dealing_(dealing), order_(std::move(order)) {
  if (!order_.defined()) return;
  // The first batch is the largest.
  inputs_ = buffers_for(data.inputs, own_rows(0));
  targets_ = buffers_for(data.targets, own_rows(0));
}

std::int64_t EpochBatches::all_rows(std::int64_t index) const {
  if (dealing_.shard) return own_rows(index);
  return Dealing{}.rows_of_batch(index, batch_size_, data_.size).count;
}

EpochBatches EpochBatches::in_order(const DataTensors& data, std::int64_t batch_size,
                                    const Dealing& dealing) {
  return {data, batch_size, data.index, dealing};
}

EpochBatches EpochBatches::of_epoch(const DataTensors& data, const TrainerOptions& options,
                                    std::int64_t epoch, const Dealing& dealing) {
  if (!options.shuffle) return in_order(data, options.batch_size, dealing);
  at::Tensor order = at::empty({data.size}, at::kLong);
  shuffled_order({order.mutable_data_ptr<std::int64_t>(), static_cast<std::size_t>(data.size)}, options.seed,
                 epoch);
  if (data.index.defined()) order = data.index.index_select(0, order);
  return {data, options.batch_size, std::move(order), dealing};
}

Batch EpochBatches::batch(std::int64_t index) {
  const RowRange range = this->rows(index);
  const std::int64_t begin = range.begin;
  const std::int64_t count = range.count;
  const at::Tensor rows = order_.defined() ? order_.narrow(0, begin, count) : at::Tensor();
  const auto gather = [&](const std::vector<NamedTensor>& columns, const std::vector<at::Tensor>& buffers) {
    std::vector<at::Tensor> gathered;
    gathered.reserve(columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (rows.defined()) {
        gathered.push_back(buffers[i].narrow(0, 0, count));
        at::index_select_out(gathered.back(), columns[i].tensor, 0, rows);
      } else {
        gathered.push_back(model_rows(columns[i].tensor, begin, count));
      }
    }
    return gathered;
  };
  return {gather(data_.inputs, inputs_), gather(data_.targets, targets_)};
}

}  // namespace wasmgrad::training
