// The datasets of wasmgrad:training@0.1.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/abi/handle_table.hpp"
#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/training/data/dataset.hpp"

namespace wasmgrad::abi::v1 {

/// Rows that grow until they are used, and do not change from then on.
class DatasetResource {
 public:
  DatasetResource() : rows_charge_(std::make_shared<Budget::Charge>()) {}
  /// A part of `whole`, whose rows it shares.
  DatasetResource(training::Dataset part, const DatasetResource& whole, Budget::Charge index_charge)
      : frozen_(std::move(part)), rows_charge_(whole.rows_charge_), index_charge_(std::move(index_charge)) {}

  /// Errors: those of the builder; kInvalidArgument when it is frozen; kTooLarge.
  Status append(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                const Budget& budget);
  /// The rows to use, which cannot grow any more. Errors: kInvalidArgument when there are none.
  Expected<training::Dataset> freeze();

  [[nodiscard]] std::int64_t size() const noexcept { return frozen_ ? frozen_->size() : builder_.size(); }

 private:
  training::DatasetBuilder builder_;
  std::optional<training::Dataset> frozen_;
  std::shared_ptr<Budget::Charge> rows_charge_;  // the parts of a split keep the rows
  Budget::Charge index_charge_;
};

class Datasets {
 public:
  explicit Datasets(GuestContext& context) : context_(context), table_("dataset", context.handles) {}

  Status create(const GuestMemory& memory, std::uint32_t dataset);
  Status append(const GuestMemory& memory, std::uint32_t dataset, std::uint32_t inputs,
                std::uint32_t n_inputs, std::uint32_t targets, std::uint32_t n_targets);
  Status split(const GuestMemory& memory, std::uint32_t dataset, std::uint32_t fractions, std::uint32_t n,
               std::uint64_t seed, std::uint32_t parts);
  Status size(const GuestMemory& memory, std::uint32_t dataset, std::uint32_t rows);
  Status close(const GuestMemory& memory, std::uint32_t dataset);

  [[nodiscard]] Expected<std::shared_ptr<DatasetResource>> find(std::uint32_t handle) const {
    return table_.find(handle);
  }

 private:
  GuestContext& context_;
  HandleTable<DatasetResource> table_;
};

}  // namespace wasmgrad::abi::v1
