// A typed, shaped view of somebody else's bytes: what crosses from a guest, NumPy or a file into the training
// host.
//
// It must not know where the bytes live. A TensorView that exists is consistent: its byte count is the
// product of its dimensions and the element size, and that product did not overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

/// Element types. The values are those of `wasmgrad:training@0.1` (wasi-nn's tensor types, then bf16).
enum class DType : std::uint8_t { kF16 = 0, kF32 = 1, kF64 = 2, kU8 = 3, kI32 = 4, kI64 = 5, kBF16 = 6 };

/// Bytes of one element.
std::size_t dtype_size(DType dtype) noexcept;

/// Short lower-case name ("f32", "u8", ...).
std::string_view dtype_name(DType dtype) noexcept;

/// "[60000, 1, 28, 28]".
std::string format_shape(std::span<const std::int64_t> shape);

class TensorView {
 public:
  /// Highest number of dimensions accepted; torch's own dispatch is bounded near it.
  static constexpr std::size_t kMaxRank = 16;

  /// Checks and builds a view of `data`, which must outlive it. Dimensions may be 0; none may be negative.
  /// Errors: kInvalidArgument when the rank is above kMaxRank, a dimension is negative, the product overflows
  /// 63 bits, or the product times the element size is not exactly `data.size()`.
  static Expected<TensorView> create(std::string name, DType dtype, std::vector<std::int64_t> shape,
                                     std::span<const std::byte> data);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] const std::vector<std::int64_t>& shape() const noexcept { return shape_; }
  [[nodiscard]] std::span<const std::byte> data() const noexcept { return data_; }
  /// Elements in all.
  [[nodiscard]] std::int64_t numel() const noexcept { return numel_; }

 private:
  TensorView() = default;

  std::string name_;
  DType dtype_ = DType::kF32;
  std::vector<std::int64_t> shape_;
  std::span<const std::byte> data_;
  std::int64_t numel_ = 0;
};

}  // namespace wasmgrad
