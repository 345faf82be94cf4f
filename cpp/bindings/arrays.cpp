#include "wasmgrad/bindings/arrays.hpp"

#include <cstddef>
#include <cstring>
#include <memory>
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

nb::dlpack::dtype dlpack_of(DType dtype) {
  using enum nb::dlpack::dtype_code;
  const auto code = [&] {
    switch (dtype) {
      case DType::kU8:
        return UInt;
      case DType::kI32:
      case DType::kI64:
        return Int;
      default:
        return Float;
    }
  }();
  return {static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(8 * dtype_size(dtype)), 1};
}

TensorView view_of(const Array& array, const std::string& name, const std::string& what) {
  const auto dtype = dtype_of(array.dtype());
  if (!dtype) {
    throw Raised{
        {Errc::kInvalidArgument, what + ": the array's element type is not one of uint8, float16, float32, "
                                        "float64, int32 and int64"}};
  }
  std::vector<std::int64_t> shape(array.ndim());
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = static_cast<std::int64_t>(array.shape(i));
  const std::span data(static_cast<const std::byte*>(array.data()), array.nbytes());
  return value_of(TensorView::create(name, *dtype, std::move(shape), data));
}

/// bf16 is the upper half of f32.
void widen(training::Output& output) {
  std::vector<std::byte> wide(2 * output.bytes.size());
  for (std::size_t i = 0; i < output.bytes.size(); i += 2)
    std::memcpy(wide.data() + 2 * i + 2, output.bytes.data() + i, 2);
  output.bytes = std::move(wide);
  output.dtype = DType::kF32;
}

}  // namespace

std::vector<TensorView> views_of(const NamedArrays& arrays, const std::string& what) {
  std::vector<TensorView> views;
  views.reserve(arrays.size());
  for (const auto& [name, array] : arrays) views.push_back(view_of(array, name, name.empty() ? what : name));
  return views;
}

nb::dict arrays_of(std::vector<training::Output> outputs) {
  nb::dict arrays;
  for (training::Output& output : outputs) {
    if (output.dtype == DType::kBF16) widen(output);
    auto kept = std::make_unique<std::vector<std::byte>>(std::move(output.bytes));
    std::byte* data = kept->data();
    const std::vector<std::size_t> shape(output.shape.begin(), output.shape.end());
    const nb::capsule owner(
        kept.release(), [](void* pointer) noexcept { delete static_cast<std::vector<std::byte>*>(pointer); });
    arrays[nb::str(output.name.data(), output.name.size())] =
        nb::ndarray<nb::numpy>(data, shape.size(), shape.data(), owner, nullptr, dlpack_of(output.dtype));
  }
  return arrays;
}

}  // namespace wasmgrad::bindings
