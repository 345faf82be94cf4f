// Rows owned by the host: named columns of inputs and targets, in the element types they arrived in.
//
// What targets mean is judged by the trainer that uses them, and normalisation happens per batch, so that u8
// images stay one byte a pixel. Without torch: a back end looks at the rows where they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::training {

/// The rows of one name, [N, ...], contiguous.
struct Column {
  TensorView view;
  std::shared_ptr<std::byte> memory;  ///< what `view` looks at
};

/// Rows of a column by their numbers; absent: all, one after the other.
using RowIndex = std::optional<std::span<const std::int64_t>>;

/// Immutable and cheap to copy (shared).
class Dataset {
 public:
  /// Copies all tensors. Each is [N, ...] of any type, with the same N; a name, when it has one, says which
  /// argument or output of a model it belongs to. Errors: kInvalidArgument when there is no input, N differs
  /// or is 0, or a tensor has no dimensions; kTooLarge beyond `max_bytes`.
  static Expected<Dataset> create(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                                  std::uint64_t max_bytes);

  /// Deals the rows into new datasets, in an order drawn from `seed`. They share the rows' memory with this
  /// one. Part i has floor(fractions[i] * size()) rows, and the last takes what is left when the fractions'
  /// sum is 1 (within 1e-9). A part may be empty; no trainer takes it then. Errors: kInvalidArgument when
  /// there is no fraction, one is outside 0..1, or their sum is above 1; kTooLarge when memory ran out.
  [[nodiscard]] Expected<std::vector<Dataset>> split(std::span<const double> fractions,
                                                     std::uint64_t seed) const;

  /// Rows.
  [[nodiscard]] std::int64_t size() const noexcept;
  /// All rows that this part shares; which of them are its own says index().
  [[nodiscard]] std::span<const Column> inputs() const noexcept;
  [[nodiscard]] std::span<const Column> targets() const noexcept;
  [[nodiscard]] RowIndex index() const noexcept;

  /// The highest class index of a column of targets that counts, as a classification loss will judge it;
  /// found once. Errors: kInvalidArgument, naming the first label that is negative or not a whole number.
  [[nodiscard]] Expected<std::int64_t> highest_label(std::size_t target,
                                                     std::optional<std::int64_t> ignored = {}) const;
  /// Size of all rows in memory. Rows that the parts of a split share count for each part.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// Size of the list of this part's rows: 8 a row; 0 for a dataset that is not a part.
  [[nodiscard]] std::uint64_t index_bytes() const noexcept;

 private:
  friend class DatasetBuilder;
  struct Rows;
  explicit Dataset(std::shared_ptr<const Rows> rows) : rows_(std::move(rows)) {}
  std::shared_ptr<const Rows> rows_;
};

/// Collects a dataset block by block.
class DatasetBuilder {
 public:
  DatasetBuilder();
  DatasetBuilder(DatasetBuilder&&) noexcept;
  DatasetBuilder& operator=(DatasetBuilder&&) noexcept;
  ~DatasetBuilder();

  /// Copies a block of rows behind those there are. The first block decides the columns: their names, types
  /// and row shapes. Memory grows geometrically; what is resident at most is about twice bytes(). Errors:
  /// those of Dataset::create, where `max_bytes` bounds the rows in all; kInvalidArgument when a column
  /// differs from the first block's. Nothing has changed then.
  Status append(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                std::uint64_t max_bytes);

  /// Rows so far.
  [[nodiscard]] std::int64_t size() const noexcept;
  /// Size of the rows so far.
  [[nodiscard]] std::uint64_t bytes() const noexcept;

  /// The dataset, without another copy; the builder is empty afterwards. Errors: kInvalidArgument when there
  /// are no rows.
  Expected<Dataset> build();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace wasmgrad::training
