#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "fixtures.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using wasmgrad::training::testing::Tensor;

namespace {

constexpr std::uint64_t kPlenty = 1 << 20;
constexpr auto kClasses = LossKind::kCrossEntropyLogits;

Expected<Dataset> with_labels(const Tensor& labels, std::int64_t rows) {
  return Dataset::create(testing::linear_inputs(rows).view("images"), labels.view("labels"), kClasses,
                         kPlenty);
}

Error error_of(const Expected<Dataset>& result) {
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace

TEST_CASE("a dataset keeps its inputs in the type they arrived in") {
  const Dataset data = testing::image_dataset(5);
  CHECK(data.size() == 5);
  CHECK(data.sample_shape() == std::vector<std::int64_t>{1, 6, 6});
  CHECK(data.bytes() == 5 * 36 + 5 * sizeof(std::int64_t));
  CHECK(data.classes() == 3);
}

TEST_CASE("class labels may come in any type and as a column") {
  CHECK(with_labels({DType::kU8, {3}, std::vector<std::uint8_t>{0, 9, 1}}, 3)->classes() == 10);
  CHECK(with_labels({DType::kI32, {3, 1}, std::vector<std::int32_t>{0, 4, 1}}, 3)->classes() == 5);
  CHECK(with_labels({DType::kF32, {3}, std::vector<float>{0, 2, 1}}, 3)->classes() == 3);
}

TEST_CASE("a label that is not a class index is named by its index") {
  const Error negative = error_of(with_labels({DType::kI64, {3}, std::vector<std::int64_t>{0, -4, 1}}, 3));
  CHECK(negative.code == Errc::kInvalidArgument);
  CHECK(negative.message == "'labels': the label at index 1 is -4; a class index is a whole number from 0");
  CHECK_FALSE(with_labels({DType::kF32, {3}, std::vector<float>{0, 1, 0.5F}}, 3));
  CHECK_FALSE(with_labels({DType::kF32, {1}, std::vector<float>{std::nanf("")}}, 1));
  CHECK_FALSE(with_labels({DType::kI64, {1}, std::vector{std::numeric_limits<std::int64_t>::max()}}, 1));
}

TEST_CASE("labels with more than one value a sample are refused") {
  const Error error = error_of(with_labels({DType::kI64, {2, 2}, std::vector<std::int64_t>{0, 1, 1, 0}}, 2));
  CHECK(error.message.find("[2, 2]") != std::string::npos);
}

TEST_CASE("counts that differ are named") {
  const Error error = error_of(with_labels(testing::class_targets(4), 5));
  CHECK(error.code == Errc::kInvalidArgument);
  CHECK(error.message == "'images' has 5 samples and 'labels' has 4; both must have as many");
}

TEST_CASE("a dataset without samples is refused") {
  CHECK(error_of(with_labels({DType::kI64, {0}, std::vector<std::int64_t>{}}, 0)).code ==
        Errc::kInvalidArgument);
}

TEST_CASE("a scalar is not a dataset") {
  const Tensor scalar(DType::kF32, {}, std::vector<float>{1});
  CHECK_FALSE(Dataset::create(scalar.view(), scalar.view(), LossKind::kMSE, kPlenty));
}

TEST_CASE("a dataset stays within its budget") {
  const Tensor inputs = testing::linear_inputs(4);  // 64 bytes
  const Tensor labels = testing::class_targets(4);  // 32 bytes
  CHECK(Dataset::create(inputs.view(), labels.view(), kClasses, 96));
  const auto refused = Dataset::create(inputs.view(), labels.view(), kClasses, 95);
  CHECK(error_of(refused).code == Errc::kTooLarge);
}

TEST_CASE("regression targets have no classes") {
  const Tensor targets(DType::kF64, {3, 2}, std::vector<double>{1, 2, 3, 4, 5, 6});
  const auto data =
      Dataset::create(testing::linear_inputs(3).view(), targets.view(), LossKind::kMSE, kPlenty);
  REQUIRE(data);
  CHECK(data->classes() == 0);
}
