#include "wasmgrad/training/data/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "wasmgrad/base/memory_error.hpp"
#include "wasmgrad/training/data/class_labels.hpp"
#include "wasmgrad/training/data/data_order.hpp"
#include "wasmgrad/training/data/dataset_rows.hpp"

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

Expected<std::int64_t> Dataset::Rows::highest_label(std::size_t target, IgnoredLabel ignored) const {
  const std::scoped_lock lock(mutex_);
  labels_.resize(targets.size());
  auto& known = labels_[target];
  if (!known || known->ignored != ignored)
    known = Labels{ignored, training::highest_label(targets[target].view, index, ignored)};
  return known->highest;
}

Expected<Dataset> Dataset::create(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                                  std::uint64_t max_bytes) {
  DatasetBuilder builder;
  WASMGRAD_CHECK(builder.append(inputs, targets, max_bytes));
  return builder.build();
}

Expected<std::vector<Dataset>> Dataset::split(std::span<const double> fractions, std::uint64_t seed) const {
  return within_memory("split", [&]() -> Expected<std::vector<Dataset>> {
    WASMGRAD_ASSIGN(const double sum, sum_of(fractions));
    std::vector<std::int64_t> order(static_cast<std::size_t>(size()));
    shuffled_order(order, seed, kSplitOrder);
    if (rows_->index)
      for (std::int64_t& row : order) row = (*rows_->index)[static_cast<std::size_t>(row)];
    std::vector<Dataset> parts;
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < fractions.size(); ++i) {
      const std::int64_t left = size() - begin;
      const bool takes_rest = i + 1 == fractions.size() && sum >= 1 - kSumTolerance;
      const auto share = static_cast<std::int64_t>(std::floor(fractions[i] * static_cast<double>(size())));
      auto part = std::make_shared<Rows>();
      part->size = takes_rest ? left : std::min(share, left);
      part->inputs = rows_->inputs;
      part->targets = rows_->targets;
      part->index.emplace(order.begin() + begin, order.begin() + begin + part->size);
      begin += part->size;
      parts.push_back(Dataset(std::move(part)));
    }
    return parts;
  });
}

Expected<std::int64_t> Dataset::highest_label(std::size_t target, IgnoredLabel ignored) const {
  return rows_->highest_label(target, ignored);
}

std::int64_t Dataset::size() const noexcept { return rows_->size; }
std::span<const Column> Dataset::inputs() const noexcept { return rows_->inputs; }
std::span<const Column> Dataset::targets() const noexcept { return rows_->targets; }
RowIndex Dataset::index() const noexcept { return rows_->index; }

std::uint64_t Dataset::bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto* columns : {&rows_->inputs, &rows_->targets})
    for (const Column& column : *columns) bytes += column.view.data().size();
  return bytes;
}

std::uint64_t Dataset::index_bytes() const noexcept {
  return rows_->index ? rows_->index->size() * sizeof(std::int64_t) : 0;
}

}  // namespace wasmgrad::training
