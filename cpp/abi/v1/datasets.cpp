#include "wasmgrad/abi/v1/datasets.hpp"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/abi/tensor_records.hpp"

namespace wasmgrad::abi::v1 {

namespace {

// Judged before the dataset is frozen, which could not be undone.
Status check_fractions(std::span<const double> fractions) {
  double sum = 0;
  for (std::size_t i = 0; i < fractions.size(); ++i) {
    // Written so that NaN fails it.
    if (!(fractions[i] >= 0 && fractions[i] <= 1)) {
      return Error{Errc::kInvalidArgument, "fraction " + std::to_string(i) + " is " +
                                               std::to_string(fractions[i]) + "; expected 0 to 1"};
    }
    sum += fractions[i];
  }
  if (fractions.empty())
    return Error{Errc::kInvalidArgument, "no fraction was given; at least one is needed"};
  constexpr double kTolerance = 1e-9;
  if (sum <= 1 + kTolerance) return {};
  return Error{Errc::kInvalidArgument,
               "the fractions' sum is " + std::to_string(sum) + "; at most 1 is possible"};
}

}  // namespace

Status DatasetResource::append(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                               const Budget& budget) {
  if (frozen_) {
    return Error{Errc::kInvalidArgument,
                 "the dataset was split or given to a trainer; it cannot grow any more"};
  }
  std::uint64_t bytes = 0;
  for (const auto& list : {inputs, targets}) {
    for (const TensorView& tensor : list) bytes += tensor.data().size();
  }
  WASMGRAD_ASSIGN(Budget::Charge charge, budget.charge(bytes, "the block"));
  WASMGRAD_CHECK(builder_.append(inputs, targets, builder_.bytes() + bytes));
  rows_charge_->add(std::move(charge));
  return {};
}

Expected<training::Dataset> DatasetResource::freeze() {
  if (!frozen_) {
    WASMGRAD_ASSIGN(frozen_, builder_.build());
  }
  return *frozen_;
}

Status Datasets::create(const GuestMemory& memory, std::uint32_t dataset) {
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, dataset, "dataset"));
  WASMGRAD_ASSIGN(const std::uint32_t handle, table_.insert(std::make_shared<DatasetResource>()));
  result.write(handle);
  return {};
}

Status Datasets::append(const GuestMemory& memory, std::uint32_t dataset, std::uint32_t inputs,
                        std::uint32_t n_inputs, std::uint32_t targets, std::uint32_t n_targets) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(dataset));
  WASMGRAD_ASSIGN(const auto input_views, read_named_tensors(memory, inputs, n_inputs, "inputs"));
  WASMGRAD_ASSIGN(const auto target_views, read_named_tensors(memory, targets, n_targets, "targets"));
  return resource->append(input_views, target_views, context_.budget);
}

Status Datasets::split(const GuestMemory& memory, std::uint32_t dataset, std::uint32_t fractions,
                       std::uint32_t n, std::uint64_t seed, std::uint32_t parts) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(dataset));
  WASMGRAD_ASSIGN(const auto wanted, memory.bytes(fractions, std::uint64_t{n} * sizeof(double), "fractions"));
  WASMGRAD_ASSIGN(const auto handles,
                  memory.writable_bytes(parts, std::uint64_t{n} * sizeof(std::uint32_t), "parts"));
  WASMGRAD_CHECK(context_.handles.check(n));
  std::vector<double> shares(n);
  if (n != 0) std::memcpy(shares.data(), wanted.data(), wanted.size());
  WASMGRAD_CHECK(check_fractions(shares));
  // Before the work: all parts together have no more rows than the whole.
  const auto rows = static_cast<std::uint64_t>(resource->size());
  WASMGRAD_CHECK(context_.budget.charge(rows * sizeof(std::int64_t), "the parts' lists of rows"));

  WASMGRAD_ASSIGN(const training::Dataset whole, resource->freeze());
  WASMGRAD_ASSIGN(std::vector<training::Dataset> dealt, whole.split(shares, seed));
  std::vector<std::uint32_t> numbers;
  for (training::Dataset& part : dealt) {
    WASMGRAD_ASSIGN(Budget::Charge charge,
                    context_.budget.charge(part.index_bytes(), "a part's list of rows"));
    WASMGRAD_ASSIGN(const std::uint32_t handle, table_.insert(std::make_shared<DatasetResource>(
                                                    std::move(part), *resource, std::move(charge))));
    numbers.push_back(handle);
  }
  if (n != 0) std::memcpy(handles.data(), numbers.data(), handles.size());
  return {};
}

Status Datasets::size(const GuestMemory& memory, std::uint32_t dataset, std::uint32_t rows) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(dataset));
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint64_t>::at(memory, rows, "rows"));
  result.write(static_cast<std::uint64_t>(resource->size()));
  return {};
}

Status Datasets::close(const GuestMemory& /*memory*/, std::uint32_t dataset) {
  WASMGRAD_CHECK(table_.close(dataset));
  return {};
}

}  // namespace wasmgrad::abi::v1
