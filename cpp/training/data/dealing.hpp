// Which rows of a batch belong to which of the processes that train together. Without torch.
#pragma once

#include <algorithm>
#include <cstdint>

namespace wasmgrad::training {

struct RowRange {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

/// One process among several, which share every batch.
struct Dealing {
  int rank = 0;
  int size = 1;
  bool shard =
      false;  ///< the data set is this process's own; else all have the same, and each takes its part

  /// This process's part of some rows. Parts differ by a row at most, and the first are the larger ones.
  [[nodiscard]] constexpr RowRange part_of(RowRange rows) const noexcept {
    const std::int64_t each = rows.count / size;
    const std::int64_t larger = rows.count % size;
    return {rows.begin + rank * each + std::min<std::int64_t>(rank, larger), each + (rank < larger ? 1 : 0)};
  }

  /// The rows of a data set of so many that this process takes of a batch; none where its data is used up.
  [[nodiscard]] constexpr RowRange rows_of_batch(std::int64_t index, std::int64_t batch_size,
                                                 std::int64_t samples) const noexcept {
    const std::int64_t size_here = own_batch_size(batch_size);
    const std::int64_t begin = std::min(index * size_here, samples);
    const RowRange rows{begin, std::min(size_here, samples - begin)};
    return shard ? rows : part_of(rows);
  }

  /// How many rows of this process's data set a batch takes.
  [[nodiscard]] constexpr std::int64_t own_batch_size(std::int64_t batch_size) const noexcept {
    return shard ? part_of({0, batch_size}).count : batch_size;
  }
};

}  // namespace wasmgrad::training
