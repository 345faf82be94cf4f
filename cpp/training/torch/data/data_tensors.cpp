#include "wasmgrad/training/torch/data/data_tensors.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstring>
#include <string>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/data/class_labels.hpp"
#include "wasmgrad/training/torch/dtype_map.hpp"

namespace wasmgrad::training {

namespace {

std::vector<NamedTensor> tensors_over(std::span<const Column> columns) {
  std::vector<NamedTensor> tensors;
  for (const Column& column : columns) {
    // A model may keep what it was given, so the tensor shares the rows.
    const auto keep = [memory = column.memory](void*) {};
    tensors.push_back({column.view.name(), at::from_blob(column.memory.get(), column.view.shape(), keep,
                                                         to_scalar_type(column.view.dtype()))});
  }
  return tensors;
}

}  // namespace

DataTensors::DataTensors(const Dataset& data)
    : inputs(tensors_over(data.inputs())),
      targets(tensors_over(data.targets())),
      size(data.size()),
      dataset_(data) {
  // The dataset, which this shares, keeps the index.
  if (const RowIndex rows = data.index())
    index = at::from_blob(const_cast<std::int64_t*>(rows->data()), {size}, at::kLong);
}

Expected<std::int64_t> DataTensors::highest_label(std::size_t target,
                                                  std::optional<std::int64_t> ignored) const {
  return dataset_ ? dataset_->highest_label(target, ignored)
                  : training::highest_label(view_of(targets[target]), rows_of(index), ignored);
}

at::Tensor tensor_over(const TensorView& view) {
  const auto type = to_scalar_type(view.dtype());
  const auto* data = view.data().data();
  if (reinterpret_cast<std::uintptr_t>(data) % dtype_size(view.dtype()) == 0 && !view.data().empty())
    return at::from_blob(const_cast<std::byte*>(data), view.shape(), type);
  at::Tensor tensor = at::empty(view.shape(), type);
  if (!view.data().empty()) std::memcpy(tensor.mutable_data_ptr(), data, view.data().size());
  return tensor;
}

Expected<std::vector<NamedTensor>> columns_over(std::span<const TensorView> views, const char* what,
                                                std::int64_t& samples) {
  std::vector<NamedTensor> columns;
  columns.reserve(views.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    const TensorView& view = views[i];
    const auto named = [&] { return quoted(view.name(), what + (" " + std::to_string(i))); };
    if (view.shape().empty() || view.numel() == 0) {
      return Error{Errc::kInvalidArgument,
                   named() + " has shape " + format_shape(view.shape()) + "; at least one sample is needed"};
    }
    if (samples != 0 && view.shape()[0] != samples) {
      return Error{Errc::kInvalidArgument, named() + " has " + std::to_string(view.shape()[0]) +
                                               " samples; those before it have " + std::to_string(samples)};
    }
    samples = view.shape()[0];
    columns.push_back({view.name(), tensor_over(view)});
  }
  return columns;
}

TensorView view_of(const NamedTensor& column) {
  const at::Tensor& tensor = column.tensor;
  const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
  return TensorView::create(column.name, to_dtype(tensor.scalar_type()).value(), tensor.sizes().vec(),
                            {data, tensor.nbytes()})
      .value();
}

RowIndex rows_of(const at::Tensor& index) {
  if (!index.defined()) return std::nullopt;
  return std::span(index.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(index.numel()));
}

}  // namespace wasmgrad::training
