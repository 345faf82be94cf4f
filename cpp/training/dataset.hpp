// Samples and targets owned by the host, in the element type they arrived in.
//
// Normalisation happens per batch, so that u8 images stay one byte a pixel. Public header without torch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/options.hpp"

namespace wasmgrad::training {

/// Immutable and cheap to copy (shared).
class Dataset {
 public:
  /// Copies both tensors. `inputs` is [N, ...] of any dtype; `targets` is [N] or [N, 1] integers (or integral
  /// floats) for classification losses, else [N, ...] of any dtype. Errors: kInvalidArgument when N differs
  /// or is 0, a tensor has no dimensions, or a class target is negative or not a whole number (the first
  /// offender is named by index); kTooLarge when `max_bytes` would be exceeded.
  static Expected<Dataset> create(const TensorView& inputs, const TensorView& targets, LossKind loss,
                                  std::uint64_t max_bytes);

  [[nodiscard]] std::int64_t size() const noexcept;
  /// Shape of one input sample.
  [[nodiscard]] std::vector<std::int64_t> sample_shape() const;
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// Highest class index plus one; 0 for regression targets.
  [[nodiscard]] std::int64_t classes() const noexcept;

  struct Storage;  // torch tensors; dataset_storage.hpp, for training/ only
  [[nodiscard]] const Storage& storage() const noexcept { return *storage_; }

 private:
  explicit Dataset(std::shared_ptr<const Storage> storage) : storage_(std::move(storage)) {}
  std::shared_ptr<const Storage> storage_;
};

}  // namespace wasmgrad::training
