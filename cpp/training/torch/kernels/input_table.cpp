// Pixel sums and table look-ups; plain loops that every compiler vectorises well enough.
#include "wasmgrad/training/torch/kernels/input_table.hpp"

#include <algorithm>

namespace wasmgrad::training::kernels {

PixelSums sum_pixels(const std::uint8_t* pixels, std::int64_t count) noexcept {
  PixelSums total;
  constexpr std::int64_t kRun = 32768;  // 255^2 * 32768 fits 32 bits
  for (std::int64_t start = 0; start < count; start += kRun) {
    const std::int64_t stop = std::min(count, start + kRun);
    std::uint32_t sum = 0;
    std::uint32_t square_sum = 0;
    for (std::int64_t i = start; i < stop; ++i) {
      const std::uint32_t pixel = pixels[i];
      sum += pixel;
      square_sum += pixel * pixel;
    }
    total.sum += sum;
    total.square_sum += square_sum;
  }
  return total;
}

void look_up(const std::uint8_t* pixels, std::int64_t count, const PixelTable& table, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = table[pixels[i]];
}

}  // namespace wasmgrad::training::kernels
