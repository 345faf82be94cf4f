#include "wasmgrad/base/tensor_view.hpp"

#include <utility>

namespace wasmgrad {

namespace {

struct DTypeInfo {
  std::size_t size;
  std::string_view name;
};

// Indexed by the enumerator's value.
constexpr DTypeInfo kDTypes[] = {
    {2, "f16"}, {4, "f32"}, {8, "f64"}, {1, "u8"}, {4, "i32"}, {8, "i64"}, {2, "bf16"},
};

const DTypeInfo& info(DType dtype) noexcept { return kDTypes[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::size_t dtype_size(DType dtype) noexcept { return info(dtype).size; }
std::string_view dtype_name(DType dtype) noexcept { return info(dtype).name; }

std::string format_shape(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

Expected<TensorView> TensorView::create(std::string name, DType dtype, std::vector<std::int64_t> shape,
                                        std::span<const std::byte> data) {
  if (shape.size() > kMaxRank) {
    return Error{Errc::kInvalidArgument, "a tensor of " + std::to_string(shape.size()) +
                                             " dimensions was given; at most " + std::to_string(kMaxRank) +
                                             " are supported"};
  }
  std::int64_t numel = 1;
  bool overflow = false;
  for (std::int64_t dim : shape) {
    if (dim < 0) {
      return Error{Errc::kInvalidArgument, "shape " + format_shape(shape) + " has a negative dimension"};
    }
    overflow = overflow || __builtin_mul_overflow(numel, dim, &numel);
  }
  std::int64_t bytes = 0;
  overflow = overflow || __builtin_mul_overflow(numel, static_cast<std::int64_t>(dtype_size(dtype)), &bytes);
  if (overflow) {
    return Error{Errc::kInvalidArgument,
                 "the number of elements of shape " + format_shape(shape) + " overflows"};
  }
  if (static_cast<std::uint64_t>(bytes) != data.size()) {
    return Error{Errc::kInvalidArgument,
                 "shape " + format_shape(shape) + " of " + std::string(dtype_name(dtype)) + " takes " +
                     std::to_string(bytes) + " bytes, but " + std::to_string(data.size()) + " were given"};
  }
  TensorView view;
  view.name_ = std::move(name);
  view.dtype_ = dtype;
  view.shape_ = std::move(shape);
  view.data_ = data;
  view.numel_ = numel;
  return view;
}

}  // namespace wasmgrad
