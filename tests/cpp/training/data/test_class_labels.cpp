#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "../rows.hpp"
#include "wasmgrad/base/half.hpp"
#include "wasmgrad/training/data/class_labels.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using testing::Tensor;

namespace {

/// 0, 1, 2 in every type that targets may arrive in; the halves by their bits.
std::vector<Tensor> labels_in_every_type() {
  const std::vector<std::int64_t> shape{3};
  return {Tensor(DType::kU8, shape, std::vector<std::uint8_t>{0, 1, 2}),
          Tensor(DType::kI32, shape, std::vector<std::int32_t>{0, 1, 2}),
          Tensor(DType::kI64, shape, std::vector<std::int64_t>{0, 1, 2}),
          Tensor(DType::kF32, shape, std::vector<float>{0, 1, 2}),
          Tensor(DType::kF64, shape, std::vector<double>{0, 1, 2}),
          Tensor(DType::kF16, shape, std::vector<std::uint16_t>{0, 0x3C00, 0x4000}),
          Tensor(DType::kBF16, shape, std::vector<std::uint16_t>{0, 0x3F80, 0x4000})};
}

}  // namespace

TEST_CASE("the highest label is found in every type, among the rows that count") {
  const std::array<std::int64_t, 2> rows{1, 0};
  for (const Tensor& labels : labels_in_every_type()) {
    CHECK(highest_label(labels.view(), std::nullopt).value() == 2);
    CHECK(highest_label(labels.view(), rows).value() == 1);
    CHECK(label_beyond(labels.view(), std::nullopt, 2, {}, "the guest declares").message ==
          "the label at index 2 is 2; the guest declares 2 classes, so labels are 0..1");
  }
}

TEST_CASE("what is no class index is refused with where it stands") {
  const auto message = [](const Tensor& labels) {
    return highest_label(labels.view("y"), std::nullopt).error().message;
  };
  CHECK(message({DType::kI64, {2}, std::vector<std::int64_t>{0, -1}})
            .find("'y': the label at index 1 is -1;") != std::string::npos);
  CHECK(message({DType::kF32, {2}, std::vector<float>{0.5, 0}}).find("index 0 is 0.5") != std::string::npos);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(message({DType::kF32, {1}, std::vector<float>{nan}}).find("index 0 is nan") != std::string::npos);
  CHECK(message({DType::kI64, {1}, std::vector<std::int64_t>{std::int64_t{1} << 40}}).find("index 0") !=
        std::string::npos);
}

TEST_CASE("rows without labels take no time, however many they are") {
  const Tensor none(DType::kU8, {std::int64_t{1} << 40, 0}, std::vector<std::uint8_t>{});
  CHECK(highest_label(none.view(), std::nullopt).value() == 0);
}

TEST_CASE("labels of positions are judged row by row, but for those that do not count") {
  const Tensor labels(DType::kI64, {3, 2}, std::vector<std::int64_t>{0, 255, 3, -100, 2, 1});
  const std::array<std::int64_t, 1> last{2};
  CHECK(highest_label(labels.view(), last).value() == 2);
  CHECK(highest_label(labels.view(), std::nullopt).error().message.find("index 1 is -100") !=
        std::string::npos);
  CHECK(highest_label(labels.view(), std::nullopt, -100).value() == 255);
  CHECK(label_beyond(labels.view(), std::nullopt, 3, -100).message.find("index 0 is 255") !=
        std::string::npos);
  const Tensor none(DType::kU8, {2}, std::vector<std::uint8_t>{255, 255});
  CHECK(highest_label(none.view(), std::nullopt, 255).value() == 0);
}

TEST_CASE("half-precision numbers are those of their definition") {
  CHECK(f16_to_f32(0x0001) == std::ldexp(1.0F, -24));  // the smallest subnormal
  CHECK(f16_to_f32(0x03FF) == std::ldexp(1023.0F, -24));
  CHECK(f16_to_f32(0x0400) == std::ldexp(1.0F, -14));  // the smallest normal
  CHECK(f16_to_f32(0x7BFF) == 65504.0F);
  CHECK(f16_to_f32(0xC000) == -2.0F);
  CHECK(std::signbit(f16_to_f32(0x8000)));
  CHECK(std::isinf(f16_to_f32(0x7C00)));
  CHECK(f16_to_f32(0xFC00) < 0);
  CHECK(std::isnan(f16_to_f32(0x7C01)));
  CHECK(bf16_to_f32(0x3F80) == 1.0F);
  CHECK(bf16_to_f32(0xC040) == -3.0F);
  CHECK(std::isnan(bf16_to_f32(0x7FC0)));
}
