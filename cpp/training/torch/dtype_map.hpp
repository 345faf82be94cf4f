// The element types of the core in torch's terms. Torch header, private to training/.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>

#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::training {

constexpr at::ScalarType to_scalar_type(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF16:
      return at::kHalf;
    case DType::kF32:
      return at::kFloat;
    case DType::kF64:
      return at::kDouble;
    case DType::kU8:
      return at::kByte;
    case DType::kI32:
      return at::kInt;
    case DType::kI64:
      return at::kLong;
    case DType::kBF16:
      return at::kBFloat16;
  }
  return at::kFloat;
}

/// Empty for torch types that the core does not have.
constexpr std::optional<DType> to_dtype(at::ScalarType type) noexcept {
  switch (type) {
    case at::kHalf:
      return DType::kF16;
    case at::kFloat:
      return DType::kF32;
    case at::kDouble:
      return DType::kF64;
    case at::kByte:
      return DType::kU8;
    case at::kInt:
      return DType::kI32;
    case at::kLong:
      return DType::kI64;
    case at::kBFloat16:
      return DType::kBF16;
    default:
      return std::nullopt;
  }
}

}  // namespace wasmgrad::training
