// What a Dataset holds. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/training/data/dataset.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

struct Dataset::Storage {
  std::vector<NamedTensor> inputs;   ///< [N, ...] each, in the type it arrived in, contiguous
  std::vector<NamedTensor> targets;  ///< alike
  at::Tensor index;                  ///< int64: the rows that this part has of them; undefined: all
  std::int64_t size = 0;

  /// As Dataset::highest_label(), over this part's rows.
  [[nodiscard]] Expected<std::int64_t> highest_label(std::size_t target) const;

 private:
  mutable std::mutex mutex_;
  mutable std::vector<std::optional<Expected<std::int64_t>>> labels_;
};

/// A tensor over the view's bytes, to be read while they live; a copy when they are not aligned.
at::Tensor tensor_over(const TensorView& view);

/// The view's name in quotes for errors, or `fallback` when it has none.
std::string quoted(const std::string& name, std::string_view fallback);

}  // namespace wasmgrad::training
