// From pixels to values, and from scores to classes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "../support.hpp"
#include "wasmgrad/tools/preprocess.hpp"

using namespace wasmgrad;
using namespace wasmgrad::tools;
using namespace wasmgrad::test;
using enum graph::Interpolation;

namespace {

Picture grey_row(std::vector<std::uint8_t> pixels) {
  return {.width = static_cast<std::uint32_t>(pixels.size()),
          .height = 1,
          .channels = 1,
          .pixels = std::move(pixels)};
}

std::vector<std::uint8_t> resized(const std::vector<std::uint8_t>& row, std::uint32_t width,
                                  graph::Interpolation filter) {
  return resize(grey_row(row), width, 1, filter).pixels;
}

graph::Preprocess plain(std::uint32_t height, std::uint32_t width) {
  graph::Preprocess how;
  how.height = height;
  how.width = width;
  how.interpolation = kNearest;
  how.color = "RGB";
  how.mean = {0, 0, 0};
  how.std = {1, 1, 1};
  return how;
}

graph::TensorInfo tensor(std::vector<std::uint64_t> shape) {
  return {.name = "image", .dtype = "float32", .shape = std::move(shape), .bytes = 0};
}

// One pixel above another.
const Picture kTwoPixels{.width = 1, .height = 2, .channels = 3, .pixels = {1, 2, 3, 4, 5, 6}};

std::vector<std::size_t> numbers(const std::vector<Class>& classes) {
  std::vector<std::size_t> all;
  for (const Class& one : classes) all.push_back(one.number);
  return all;
}

}  // namespace

TEST_CASE("a picture resized to its own size is the same") {
  for (const auto filter : {kNearest, kBilinear, kBicubic, kLanczos}) {
    CHECK(resized({0, 50, 255, 7}, 4, filter) == std::vector<std::uint8_t>{0, 50, 255, 7});
  }
}

TEST_CASE("one colour stays that colour in every size") {
  const Picture picture{.width = 9, .height = 5, .channels = 3, .pixels = std::vector<std::uint8_t>(135, 77)};
  for (const auto filter : {kNearest, kBilinear, kBicubic, kLanczos}) {
    for (const auto& [width, height] : {std::pair{1U, 1U}, std::pair{4U, 11U}, std::pair{30U, 2U}}) {
      const Picture other = resize(picture, width, height, filter);
      CHECK(other.pixels == std::vector<std::uint8_t>(std::size_t{3} * width * height, 77));
    }
  }
}

TEST_CASE("sizes change with the weights of each filter") {
  CHECK(resized({10, 20}, 4, kNearest) == std::vector<std::uint8_t>{10, 10, 20, 20});
  CHECK(resized({0, 100}, 4, kBilinear) == std::vector<std::uint8_t>{0, 25, 75, 100});
  CHECK(resized({0, 0, 100, 100}, 2, kBilinear) == std::vector<std::uint8_t>{14, 86});
  CHECK(resized({0, 0, 100, 100}, 2, kBicubic) == std::vector<std::uint8_t>{8, 92});
  CHECK(resized({0, 0, 200, 200}, 8, kBicubic) == std::vector<std::uint8_t>{0, 0, 0, 41, 159, 214, 204, 200});
}

TEST_CASE("a picture becomes values in the order, layout and range of the model") {
  graph::Preprocess how = plain(2, 1);
  CHECK(*to_tensor(kTwoPixels, how, tensor({1, 3, 2, 1})) == std::vector<float>{1, 4, 2, 5, 3, 6});
  how.channels_last = true;
  CHECK(*to_tensor(kTwoPixels, how, tensor({1, 2, 1, 3})) == std::vector<float>{1, 2, 3, 4, 5, 6});
  how.color = "BGR";
  CHECK(*to_tensor(kTwoPixels, how, tensor({1, 2, 1, 3})) == std::vector<float>{3, 2, 1, 6, 5, 4});
  how.scale = 2;
  how.mean = {1, 2, 3};
  how.std = {1, 2, 4};
  CHECK(*to_tensor(kTwoPixels, how, tensor({1, 2, 1, 3})) == std::vector<float>{5, 1, -0.25F, 11, 4, 1.25F});
}

TEST_CASE("a model of grey pictures gets brightness") {
  graph::Preprocess how = plain(1, 1);
  how.color = "L";
  how.mean = {0};
  how.std = {1};
  const Picture picture{.width = 1, .height = 1, .channels = 3, .pixels = {100, 200, 50}};
  CHECK(*to_tensor(picture, how, tensor({1, 1, 1, 1})) == std::vector<float>{153});
}

TEST_CASE("the middle is kept after the shorter side was resized") {
  graph::Preprocess how = plain(1, 1);
  how.resize = 1;
  how.color = "L";
  how.mean = {0};
  how.std = {1};
  Picture row{.width = 3, .height = 1, .channels = 3, .pixels = {10, 10, 10, 20, 20, 20, 30, 30, 30}};
  CHECK(*to_tensor(row, how, tensor({1, 1, 1, 1})) == std::vector<float>{20});
}

TEST_CASE("a tensor of another shape or dtype is refused") {
  CHECK(error_of(to_tensor(kTwoPixels, plain(2, 1), tensor({1, 2, 1, 3}))).code == Errc::kInvalidArgument);
  graph::TensorInfo bytes = tensor({1, 3, 2, 1});
  bytes.dtype = "uint8";
  CHECK(error_of(to_tensor(kTwoPixels, plain(2, 1), bytes)).code == Errc::kUnsupportedOperation);
}

TEST_CASE("a picture too long and narrow to be resized is refused") {
  graph::Preprocess how = plain(8, 8);
  how.resize = 30000;
  const Picture narrow{.width = 1, .height = 1000, .channels = 3, .pixels = std::vector<std::uint8_t>(3000)};
  CHECK(error_of(to_tensor(narrow, how, tensor({1, 3, 8, 8}))).code == Errc::kTooLarge);
}

TEST_CASE("what is usual for ImageNet depends on the input's shape") {
  const auto how = imagenet_preprocess(tensor({1, 3, 224, 224}));
  REQUIRE(how);
  CHECK(how->resize == 256);
  CHECK_FALSE(how->channels_last);
  CHECK(imagenet_preprocess(tensor({1, 299, 299, 3}))->channels_last);
  CHECK(error_of(imagenet_preprocess(tensor({1, 784}))).code == Errc::kInvalidArgument);
  CHECK(error_of(imagenet_preprocess(tensor({1, 3, 0, 5}))).code == Errc::kInvalidArgument);
}

TEST_CASE("the best classes come first, with probabilities") {
  const auto best = best_classes(std::vector<float>{1, 3, 2, 3}, 3);
  CHECK(numbers(best) == std::vector<std::size_t>{1, 3, 2});
  CHECK(best[0].probability == doctest::Approx(std::exp(3) / (std::exp(1) + 2 * std::exp(3) + std::exp(2))));
}

TEST_CASE("scores that are probabilities stay as they are") {
  const auto best = best_classes(std::vector<float>{0.25F, 0.75F}, 5);
  REQUIRE(best.size() == 2);
  CHECK(best[0].probability == 0.75);
}

TEST_CASE("scores that are no numbers do no harm") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  CHECK(best_classes(std::vector<float>{nan, 1, infinity, -infinity}, 2).size() == 2);
  CHECK(best_classes({}, 5).empty());
}
