#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "wasmgrad/training/torch/kernels/magnitude.hpp"

namespace wasmgrad::training::kernels {

namespace {

constexpr float kMax = std::numeric_limits<float>::max();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float of_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

}  // namespace

TEST_CASE("one special value is found at every place of arrays of every length") {
  const std::vector<float> specials = {0.0F,
                                       -0.0F,
                                       kMax,
                                       -kMax,
                                       std::numeric_limits<float>::denorm_min(),
                                       kInfinity,
                                       -kInfinity,
                                       of_bits(0x7FC00000),
                                       of_bits(0xFFC00000),
                                       of_bits(0x7F800001),
                                       of_bits(0xFFFFFFFF)};
  bool all = true;
  for (std::int64_t count = 1; count <= 70; ++count) {
    for (std::int64_t at = 0; at < count; ++at) {
      for (const float special : specials) {
        std::vector<float> values(static_cast<std::size_t>(count), -1.5F);
        values[static_cast<std::size_t>(at)] = special;
        const std::int32_t largest = largest_magnitude(values.data(), count);
        all = all && (largest < kInfinityBits) == std::isfinite(special);
        all = all && (largest > kInfinityBits) == std::isnan(special);
      }
    }
  }
  CHECK(all);
}

TEST_CASE("of none, and of a part that begins anywhere, nothing else is read") {
  std::vector<float> values(64, kInfinity);
  CHECK(largest_magnitude(values.data(), 0) == 0);
  for (std::int64_t begin = 1; begin < 9; ++begin) {
    for (std::int64_t i = begin; i < 50; ++i) values[static_cast<std::size_t>(i)] = -2.0F;
    values[static_cast<std::size_t>(begin - 1)] = kInfinity;
    CHECK(largest_magnitude(values.data() + begin, 50 - begin) == std::bit_cast<std::int32_t>(2.0F));
  }
}

}  // namespace wasmgrad::training::kernels
