#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "wasmgrad/training/data/data_order.hpp"

using wasmgrad::training::shuffled_order;

namespace {

std::vector<std::int64_t> order(std::size_t count, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> result(count);
  shuffled_order(result, seed, epoch);
  return result;
}

}  // namespace

TEST_CASE("an order visits every sample once") {
  auto sorted = order(1001, 5, 2);
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) CHECK(sorted[i] == static_cast<std::int64_t>(i));
}

TEST_CASE("an order depends on seed and epoch alone") {
  CHECK(order(100, 5, 2) == order(100, 5, 2));
  CHECK(order(100, 5, 2) != order(100, 5, 3));
  CHECK(order(100, 5, 2) != order(100, 6, 2));
}

TEST_CASE("every sample is as likely at every place") {
  constexpr int kSamples = 5;
  constexpr int kEpochs = 20000;
  std::array<std::array<int, kSamples>, kSamples> seen{};
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const auto drawn = order(kSamples, 1, epoch);
    for (std::size_t place = 0; place < kSamples; ++place)
      ++seen[place][static_cast<std::size_t>(drawn[place])];
  }
  // Five standard deviations of a binomial around 4000.
  for (const auto& place : seen) {
    for (const int count : place) CHECK(std::abs(count - kEpochs / kSamples) < 283);
  }
}

TEST_CASE("orders of no and of one sample exist") {
  CHECK(order(0, 1, 1).empty());
  CHECK(order(1, 1, 1) == std::vector<std::int64_t>{0});
}
