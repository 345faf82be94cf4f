#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

Expected<TensorView> view_of(DType dtype, std::vector<std::int64_t> shape, std::size_t bytes) {
  static const std::array<std::byte, 256> storage{};
  return TensorView::create("x", dtype, std::move(shape), std::span(storage).first(bytes));
}

TEST_CASE("a consistent tensor is described as given") {
  auto view = view_of(DType::kI64, {2, 3}, 48);
  REQUIRE(view);
  CHECK(view->name() == "x");
  CHECK(view->dtype() == DType::kI64);
  CHECK(view->shape() == std::vector<std::int64_t>{2, 3});
  CHECK(view->numel() == 6);
  CHECK(view->data().size() == 48);
}

TEST_CASE("a tensor without dimensions is one element") {
  auto view = view_of(DType::kF32, {}, 4);
  REQUIRE(view);
  CHECK(view->numel() == 1);
}

TEST_CASE("a dimension of zero makes an empty tensor") {
  CHECK(view_of(DType::kF32, {0, 5}, 0).value().numel() == 0);
}

TEST_CASE("bytes that are too few or too many for the shape are refused") {
  CHECK_FALSE(view_of(DType::kF32, {2, 2}, 15));
  CHECK_FALSE(view_of(DType::kF32, {2, 2}, 17));
}

TEST_CASE("the error of a wrong byte count says both counts") {
  CHECK(view_of(DType::kF32, {2, 2}, 15).error().message ==
        "shape [2, 2] of f32 takes 16 bytes, but 15 were given");
}

TEST_CASE("a negative dimension is refused") {
  auto view = view_of(DType::kU8, {-1, -4}, 4);
  REQUIRE_FALSE(view);
  CHECK(view.error().message.find("[-1, -4]") != std::string::npos);
}

TEST_CASE("a negative dimension after an overflow is still refused") {
  CHECK_FALSE(view_of(DType::kU8, {kMax, 4, -1}, 4));
}

TEST_CASE("a product that wraps to the right byte count is refused") {
  // 2^62 * 4 elements wrap to 0.
  auto view = view_of(DType::kU8, {std::int64_t{1} << 62, 4}, 0);
  REQUIRE_FALSE(view);
  CHECK(view.error().message.find("overflows") != std::string::npos);
}

TEST_CASE("a byte count that overflows although the element count does not is refused") {
  CHECK_FALSE(view_of(DType::kF64, {std::int64_t{1} << 61}, 0));
}

TEST_CASE("the highest rank is accepted and one more is refused") {
  CHECK(view_of(DType::kU8, std::vector<std::int64_t>(TensorView::kMaxRank, 1), 1));
  CHECK_FALSE(view_of(DType::kU8, std::vector<std::int64_t>(TensorView::kMaxRank + 1, 1), 1));
}

TEST_CASE("shapes are written like Python lists") {
  CHECK(format_shape(std::vector<std::int64_t>{60000, 1, 28, 28}) == "[60000, 1, 28, 28]");
  CHECK(format_shape({}) == "[]");
}

TEST_CASE("element types have the sizes and names of the guest interface") {
  struct Row {
    int value;
    std::size_t size;
    std::string_view name;
  };
  const Row rows[] = {{0, 2, "f16"}, {1, 4, "f32"}, {2, 8, "f64"}, {3, 1, "u8"},
                      {4, 4, "i32"}, {5, 8, "i64"}, {6, 2, "bf16"}};
  for (const Row& row : rows) {
    const auto dtype = static_cast<DType>(row.value);
    CHECK(dtype_size(dtype) == row.size);
    CHECK(dtype_name(dtype) == row.name);
  }
}

}  // namespace
}  // namespace wasmgrad
