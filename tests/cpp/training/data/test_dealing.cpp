#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "wasmgrad/training/data/dealing.hpp"

using namespace wasmgrad::training;

TEST_CASE("the parts of a batch are all its rows, each once, and differ by a row at most") {
  for (int size = 1; size <= 5; ++size) {
    for (std::int64_t samples = 1; samples <= 23; ++samples) {
      for (const std::int64_t batch_size : {1, 4, 7, 30}) {
        std::vector<int> taken(static_cast<std::size_t>(samples));
        for (std::int64_t batch = 0; batch * batch_size < samples; ++batch) {
          std::int64_t least = INT64_MAX;
          std::int64_t most = 0;
          for (int rank = 0; rank < size; ++rank) {
            const RowRange rows = Dealing{rank, size, false}.rows_of_batch(batch, batch_size, samples);
            for (std::int64_t row = rows.begin; row < rows.begin + rows.count; ++row) {
              CHECK(row / batch_size == batch);
              ++taken[static_cast<std::size_t>(row)];
            }
            least = std::min(least, rows.count);
            most = std::max(most, rows.count);
          }
          CHECK(most - least <= 1);
          CHECK(Dealing{0, size, false}.rows_of_batch(batch, batch_size, samples).count == most);
        }
        for (const int times : taken) CHECK(times == 1);
      }
    }
  }
}

TEST_CASE("shards are taken row after row, so many a batch as all together make one") {
  const Dealing first{0, 3, true};
  const Dealing last{2, 3, true};
  CHECK(first.own_batch_size(8) == 3);
  CHECK(last.own_batch_size(8) == 2);
  CHECK(first.rows_of_batch(1, 8, 5).begin == 3);
  CHECK(first.rows_of_batch(1, 8, 5).count == 2);
  CHECK(first.rows_of_batch(2, 8, 5).count == 0);
  CHECK(last.rows_of_batch(2, 8, 5).count == 1);
}
