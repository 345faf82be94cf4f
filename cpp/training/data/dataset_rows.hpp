// What a Dataset holds. Private to data/.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "wasmgrad/training/data/class_labels.hpp"
#include "wasmgrad/training/data/dataset.hpp"

namespace wasmgrad::training {

struct Dataset::Rows {
  std::vector<Column> inputs;
  std::vector<Column> targets;
  std::optional<std::vector<std::int64_t>> index;  ///< the rows that this part has of them; absent: all
  std::int64_t size = 0;

  /// As Dataset::highest_label(), over this part's rows.
  [[nodiscard]] Expected<std::int64_t> highest_label(std::size_t target, IgnoredLabel ignored) const;

 private:
  struct Labels {
    IgnoredLabel ignored;
    Expected<std::int64_t> highest;
  };
  mutable std::mutex mutex_;
  mutable std::vector<std::optional<Labels>> labels_;
};

}  // namespace wasmgrad::training
