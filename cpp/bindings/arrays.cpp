#include "wasmgrad/bindings/arrays.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "wasmgrad/bindings/errors.hpp"

namespace nb = nanobind;

namespace wasmgrad::bindings {
namespace {

std::optional<DType> dtype_of(nb::dlpack::dtype dtype) {
  if (dtype.lanes != 1) return std::nullopt;
  switch (static_cast<nb::dlpack::dtype_code>(dtype.code)) {
    case nb::dlpack::dtype_code::Float:
      if (dtype.bits == 16) return DType::kF16;
      if (dtype.bits == 32) return DType::kF32;
      if (dtype.bits == 64) return DType::kF64;
      return std::nullopt;
    case nb::dlpack::dtype_code::Int:
      if (dtype.bits == 32) return DType::kI32;
      if (dtype.bits == 64) return DType::kI64;
      return std::nullopt;
    case nb::dlpack::dtype_code::UInt:
      return dtype.bits == 8 ? std::optional(DType::kU8) : std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace

TensorView view_of(const Array& array, std::string name) {
  const auto dtype = dtype_of(array.dtype());
  if (!dtype) {
    throw Raised{
        {Errc::kInvalidArgument, name + ": the array's element type is not one of uint8, float16, float32, "
                                        "float64, int32 and int64"}};
  }
  std::vector<std::int64_t> shape(array.ndim());
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = static_cast<std::int64_t>(array.shape(i));
  const std::span data(static_cast<const std::byte*>(array.data()), array.nbytes());
  return value_of(TensorView::create(std::move(name), *dtype, std::move(shape), data));
}

}  // namespace wasmgrad::bindings
