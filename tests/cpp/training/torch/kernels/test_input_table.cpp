#include <doctest/doctest.h>

#include <vector>

#include "wasmgrad/training/torch/kernels/input_table.hpp"

namespace wasmgrad::training::kernels {

TEST_CASE("pixel sums are exact where 32 bits would overflow") {
  const std::int64_t count = 100'003;
  const std::vector<std::uint8_t> white(static_cast<std::size_t>(count), 255);
  const PixelSums sums = sum_pixels(white.data(), count);
  CHECK(sums.sum == static_cast<std::uint64_t>(count) * 255);
  CHECK(sums.square_sum == static_cast<std::uint64_t>(count) * 255 * 255);
}

TEST_CASE("looking up reads each pixel's own entry") {
  PixelTable table{};
  for (std::size_t pixel = 0; pixel < table.size(); ++pixel)
    table[pixel] = 0.5F * static_cast<float>(pixel) - 3;
  const std::vector<std::uint8_t> pixels{0, 255, 7, 128, 7};
  std::vector<float> out(pixels.size());
  look_up(pixels.data(), static_cast<std::int64_t>(pixels.size()), table, out.data());
  CHECK(out == std::vector<float>{-3, 124.5F, 0.5F, 61, 0.5F});
}

}  // namespace wasmgrad::training::kernels
