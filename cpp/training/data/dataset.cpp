#include "wasmgrad/training/data/dataset.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "wasmgrad/training/torch/data/class_labels.hpp"
#include "wasmgrad/training/data/data_order.hpp"
#include "wasmgrad/training/torch/data/dataset_storage.hpp"
#include "wasmgrad/training/torch/dtype_map.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

/// Sets the order of a split apart from those of epochs, which count from 0.
constexpr std::int64_t kSplitOrder = -1;
/// By how much the fractions' sum may miss 1.
constexpr double kSumTolerance = 1e-9;

Expected<double> sum_of(std::span<const double> fractions) {
  double sum = 0;
  for (std::size_t i = 0; i < fractions.size(); ++i) {
    // Written so that NaN fails it.
    if (!(fractions[i] >= 0 && fractions[i] <= 1)) {
      return Error{Errc::kInvalidArgument, "split: fraction " + std::to_string(i) + " is " +
                                               std::to_string(fractions[i]) + "; it must be in 0..1"};
    }
    sum += fractions[i];
  }
  if (fractions.empty()) return Error{Errc::kInvalidArgument, "split: at least one fraction is needed"};
  if (sum > 1 + kSumTolerance) {
    return Error{Errc::kInvalidArgument,
                 "split: the fractions' sum is " + std::to_string(sum) + "; it must be at most 1"};
  }
  return sum;
}

}  // namespace

at::Tensor tensor_over(const TensorView& view) {
  const auto type = to_scalar_type(view.dtype());
  const auto* data = view.data().data();
  if (reinterpret_cast<std::uintptr_t>(data) % dtype_size(view.dtype()) == 0 && !view.data().empty())
    return at::from_blob(const_cast<std::byte*>(data), view.shape(), type);
  at::Tensor tensor = at::empty(view.shape(), type);
  if (!view.data().empty()) std::memcpy(tensor.mutable_data_ptr(), data, view.data().size());
  return tensor;
}

std::string quoted(const std::string& name, std::string_view fallback) {
  return name.empty() ? std::string(fallback) : "'" + name + "'";
}

Expected<std::int64_t> Dataset::Storage::highest_label(std::size_t target) const {
  const std::scoped_lock lock(mutex_);
  labels_.resize(targets.size());
  auto& known = labels_[target];
  if (!known) known = training::highest_label(targets[target].tensor, index, targets[target].name);
  return *known;
}

Expected<Dataset> Dataset::create(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                                  std::uint64_t max_bytes) {
  DatasetBuilder builder;
  WASMGRAD_CHECK(builder.append(inputs, targets, max_bytes));
  return builder.build();
}

Expected<std::vector<Dataset>> Dataset::split(std::span<const double> fractions, std::uint64_t seed) const {
  return guarded("split", [&]() -> Expected<std::vector<Dataset>> {
    WASMGRAD_ASSIGN(const double sum, sum_of(fractions));
    at::Tensor order = at::empty({size()}, at::kLong);
    shuffled_order({order.mutable_data_ptr<std::int64_t>(), static_cast<std::size_t>(size())}, seed,
                   kSplitOrder);
    if (storage_->index.defined()) order = storage_->index.index_select(0, order);
    std::vector<Dataset> parts;
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < fractions.size(); ++i) {
      const std::int64_t left = size() - begin;
      const bool takes_rest = i + 1 == fractions.size() && sum >= 1 - kSumTolerance;
      const auto share = static_cast<std::int64_t>(std::floor(fractions[i] * static_cast<double>(size())));
      auto part = std::make_shared<Storage>();
      part->size = takes_rest ? left : std::min(share, left);
      part->inputs = storage_->inputs;
      part->targets = storage_->targets;
      part->index = order.narrow(0, begin, part->size).clone();
      begin += part->size;
      parts.push_back(Dataset(std::move(part)));
    }
    return parts;
  });
}

Expected<std::int64_t> Dataset::highest_label(std::size_t target) const {
  return guarded("dataset", [&] { return storage_->highest_label(target); });
}

std::int64_t Dataset::size() const noexcept { return storage_->size; }

std::uint64_t Dataset::bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto* columns : {&storage_->inputs, &storage_->targets})
    for (const NamedTensor& column : *columns) bytes += column.tensor.nbytes();
  return bytes;
}

std::uint64_t Dataset::index_bytes() const noexcept {
  return storage_->index.defined() ? storage_->index.nbytes() : 0;
}

}  // namespace wasmgrad::training
