// 2x2 max pooling with stride 2 over channels-last images, optionally of max(x, 0), with a byte as argmax. No
// torch.
#pragma once

#include <cstdint>

namespace wasmgrad::training::kernels {

/// One image of height x width x channels; odd last rows and columns are left out, as PyTorch does.
struct PoolShape {
  std::int64_t height, width, channels;
  [[nodiscard]] std::int64_t out_height() const noexcept { return height / 2; }
  [[nodiscard]] std::int64_t out_width() const noexcept { return width / 2; }
};

/// Argmax value of a window that passes no gradient: with relu, nothing in it was positive.
inline constexpr std::uint8_t kNoArgmax = 4;

/// y = max over each window, argmax = 2 * row + column of the first maximum. A NaN wins, as in PyTorch.
void max_pool_forward(const float* x, const PoolShape& shape, bool relu, float* y,
                      std::uint8_t* argmax) noexcept;
/// dx gets dy where the window's maximum was, 0 elsewhere; every element of dx is written.
void max_pool_backward(const float* dy, const std::uint8_t* argmax, const PoolShape& shape,
                       float* dx) noexcept;

}  // namespace wasmgrad::training::kernels
