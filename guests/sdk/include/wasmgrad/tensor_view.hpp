// A shaped view of elements in the guest's memory, checked when it is made: what the tensors of training.hpp
// and training_v1.hpp have in common.
//
// It must not know how a tensor is handed to the host.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>
#include <string>
#include <string_view>

#include "wasmgrad/fail.hpp"

namespace wasmgrad {

/// An IEEE half-precision number, as its bits.
struct Half {
  std::uint16_t bits;
};

/// A container or span of elements that stays when the expression ends: one that is about to be destroyed
/// does not satisfy it.
template <class Range>
concept element_range = std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> &&
                        std::ranges::borrowed_range<Range>;

/// Elements that somebody else owns, in row-major order, with a shape and a name. A view that exists is
/// consistent.
class TensorView {
 public:
  static constexpr std::size_t kMaxRank = 16;

  [[nodiscard]] const void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// The first dimension.
  [[nodiscard]] std::uint32_t samples() const noexcept { return dims_[0]; }
  [[nodiscard]] std::span<const std::uint32_t> shape() const noexcept { return {dims_.data(), rank_}; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 protected:
  /// Ends the guest with a sentence when `shape` does not describe exactly the elements of `data`.
  template <element_range Range>
  TensorView(Range&& data, std::span<const std::uint32_t> shape, std::string_view name)
      : name_(name),
        data_(std::ranges::data(data)),
        bytes_(std::ranges::size(data) * sizeof(std::ranges::range_value_t<Range>)),
        rank_(shape.size()) {
    check(shape, std::ranges::size(data));
  }

 private:
  void check(std::span<const std::uint32_t> shape, std::size_t given) {
    if (rank_ == 0 || rank_ > kMaxRank)
      fail("tensor '%s': a shape has 1 to %zu dimensions, not %zu", name_.c_str(), kMaxRank, rank_);
    std::uint64_t elements = 1;
    bool overflow = false;
    for (std::size_t axis = 0; axis < rank_; ++axis) {
      dims_[axis] = shape[axis];
      overflow = overflow || __builtin_mul_overflow(elements, std::uint64_t{shape[axis]}, &elements);
    }
    if (overflow) fail("tensor '%s': the number of elements its shape describes overflows", name_.c_str());
    if (elements != given) {
      fail("tensor '%s': its shape describes %llu elements, but %zu were given", name_.c_str(),
           static_cast<unsigned long long>(elements), given);
    }
  }

  std::string name_;
  const void* data_;
  std::size_t bytes_;
  std::size_t rank_;
  std::array<std::uint32_t, kMaxRank> dims_{};
};

}  // namespace wasmgrad
