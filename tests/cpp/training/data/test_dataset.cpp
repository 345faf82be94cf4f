#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "../rows.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using wasmgrad::training::testing::Tensor;

namespace {

constexpr std::uint64_t kPlenty = 1 << 20;

Expected<Dataset> with_labels(const Tensor& labels, std::int64_t rows, std::uint64_t max_bytes = kPlenty) {
  const Tensor images = testing::linear_inputs(rows);
  const TensorView x = images.view("images");
  const TensorView y = labels.view("labels");
  return Dataset::create({&x, 1}, {&y, 1}, max_bytes);
}

Expected<std::int64_t> highest(const Tensor& labels, std::int64_t rows) {
  const auto data = with_labels(labels, rows);
  if (!data) return data.error();
  return data->highest_label(0);
}

template <class T>
Error error_of(const Expected<T>& result) {
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace

TEST_CASE("a dataset keeps its rows in the type they arrived in") {
  const Dataset data = testing::image_dataset(5);
  CHECK(data.size() == 5);
  CHECK(data.bytes() == 5 * 36 + 5 * sizeof(std::int64_t));
  CHECK(data.index_bytes() == 0);
}

TEST_CASE("class labels may come in any type and as a column") {
  CHECK(*highest({DType::kU8, {3}, std::vector<std::uint8_t>{0, 9, 1}}, 3) == 9);
  CHECK(*highest({DType::kI32, {3, 1}, std::vector<std::int32_t>{0, 4, 1}}, 3) == 4);
  CHECK(*highest({DType::kF32, {3}, std::vector<float>{0, 2, 1}}, 3) == 2);
  CHECK(*highest({DType::kF64, {3}, std::vector<double>{0, 2, 1}}, 3) == 2);
  CHECK(*highest({DType::kF16, {1}, std::vector<std::uint16_t>{0x4000}}, 1) == 2);
  CHECK(*highest({DType::kBF16, {1}, std::vector<std::uint16_t>{0x4040}}, 1) == 3);
}

TEST_CASE("a label that is not a class index is named by its index") {
  const Error negative = error_of(highest({DType::kI64, {3}, std::vector<std::int64_t>{0, -4, 1}}, 3));
  CHECK(negative.code == Errc::kInvalidArgument);
  CHECK(negative.message ==
        "'labels': the label at index 1 is -4; a class index is a whole number from 0, or what ignore_index "
        "says");
  CHECK_FALSE(highest({DType::kF32, {3}, std::vector<float>{0, 1, 0.5F}}, 3));
  CHECK_FALSE(highest({DType::kF32, {1}, std::vector<float>{std::nanf("")}}, 1));
  CHECK_FALSE(highest({DType::kI64, {1}, std::vector{std::numeric_limits<std::int64_t>::max()}}, 1));
}

TEST_CASE("counts that differ are named") {
  const Error error = error_of(with_labels(testing::class_targets(4), 5));
  CHECK(error.code == Errc::kInvalidArgument);
  CHECK(error.message == "'images' has 5 samples and 'labels' has 4; both must have as many");
}

TEST_CASE("a dataset without samples is refused") {
  CHECK(error_of(with_labels({DType::kI64, {0}, std::vector<std::int64_t>{}}, 0)).code ==
        Errc::kInvalidArgument);
  CHECK_FALSE(DatasetBuilder().build());
}

TEST_CASE("a dataset without inputs is refused") {
  const Tensor labels = testing::class_targets(2);
  const TensorView y = labels.view();
  CHECK_FALSE(Dataset::create({}, {&y, 1}, kPlenty));
  CHECK(Dataset::create({&y, 1}, {}, kPlenty));
}

TEST_CASE("a scalar is not a dataset") {
  const Tensor scalar(DType::kF32, {}, std::vector<float>{1});
  const TensorView view = scalar.view();
  CHECK_FALSE(Dataset::create({&view, 1}, {&view, 1}, kPlenty));
}

TEST_CASE("a dataset stays within its budget") {
  const Tensor labels = testing::class_targets(4);  // 32 bytes, beside inputs of 64
  CHECK(with_labels(labels, 4, 96));
  CHECK(error_of(with_labels(labels, 4, 95)).code == Errc::kTooLarge);
}

TEST_CASE("a dataset appended block by block is the one created at once") {
  const Tensor inputs = testing::image_inputs(60);
  const Tensor labels = testing::class_targets(60);
  DatasetBuilder builder;
  std::int64_t begin = 0;
  for (const std::int64_t rows : {1, 2, 30, 7, 20}) {
    const auto at = [&](const Tensor& tensor, std::vector<std::int64_t> shape, std::int64_t row_bytes) {
      const auto first = static_cast<std::size_t>(begin * row_bytes);
      const auto bytes = tensor.view().data().subspan(first, static_cast<std::size_t>(rows * row_bytes));
      return *TensorView::create("", tensor.view().dtype(), std::move(shape), bytes);
    };
    const TensorView x = at(inputs, {rows, 1, 6, 6}, 36);
    const TensorView y = at(labels, {rows}, 8);
    REQUIRE(builder.append({&x, 1}, {&y, 1}, kPlenty));
    begin += rows;
    CHECK(builder.size() == begin);
  }
  CHECK(builder.bytes() == 60 * 44);
  const auto built = builder.build();
  REQUIRE(built);
  CHECK(builder.size() == 0);
  const Dataset at_once = testing::image_dataset(60);
  CHECK(std::ranges::equal(built->inputs()[0].view.data(), at_once.inputs()[0].view.data()));
  CHECK(std::ranges::equal(built->targets()[0].view.data(), at_once.targets()[0].view.data()));
  CHECK(built->inputs()[0].view.shape() == at_once.inputs()[0].view.shape());
  CHECK_FALSE(built->index());
}

TEST_CASE("a block whose columns differ from the first's is refused and changes nothing") {
  const Tensor inputs = testing::linear_inputs(3);
  const Tensor labels = testing::class_targets(3);
  const TensorView x = inputs.view("x");
  const TensorView y = labels.view("y");
  DatasetBuilder builder;
  REQUIRE(builder.append({&x, 1}, {&y, 1}, kPlenty));
  const auto refused = [&](const TensorView& other_x, const TensorView& other_y) {
    const Status status = builder.append({&other_x, 1}, {&other_y, 1}, kPlenty);
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kInvalidArgument);
    CHECK(builder.size() == 3);
    return status.error().message;
  };
  CHECK(refused(inputs.view("z"), y) ==
        "input 0 is 'z' with rows of f32 [4]; the first block's is 'x' with rows of f32 [4]");
  const Tensor wide(DType::kF32, {3, 5}, std::vector<float>(15, 0));
  CHECK(refused(wide.view("x"), y).find("rows of f32 [5]") != std::string::npos);
  const Tensor narrow(DType::kI32, {3}, std::vector<std::int32_t>(3, 0));
  CHECK(refused(x, narrow.view("y")).find("target 0 is 'y' with rows of i32 []") != std::string::npos);
  CHECK_FALSE(builder.append({&x, 1}, {}, kPlenty));
  const Status too_large = builder.append({&x, 1}, {&y, 1}, 2 * (48 + 24) - 1);
  REQUIRE_FALSE(too_large);
  CHECK(too_large.error().code == Errc::kTooLarge);
}
