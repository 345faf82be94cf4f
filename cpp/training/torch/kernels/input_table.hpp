// Single-channel u8 input: its statistics are integer sums and every function of a pixel is a table of 256
// floats. No torch.
#pragma once

#include <array>
#include <cstdint>

namespace wasmgrad::training::kernels {

using PixelTable = std::array<float, 256>;

struct PixelSums {
  std::uint64_t sum = 0;
  std::uint64_t square_sum = 0;
};

/// Exact sums over `count` pixels.
PixelSums sum_pixels(const std::uint8_t* pixels, std::int64_t count) noexcept;

/// out[i] = table[pixels[i]].
void look_up(const std::uint8_t* pixels, std::int64_t count, const PixelTable& table, float* out) noexcept;

}  // namespace wasmgrad::training::kernels
