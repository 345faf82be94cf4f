// Pictures for kernels whose windows must not leave them: with padding, a copy with zeros around it.
#pragma once

#include <cstring>

#include "conv2d.hpp"

namespace wg {

/// Pixels in rows of `width`; windows begin at the first one.
struct Picture {
  const float* pixels;
  std::int32_t width;
};

/// A copy of the picture with zeros around it, as far as windows reach.
inline Picture pad(const Conv2d& d, const float* x, float* copy) {
  const std::int32_t height = (d.out_h - 1) * d.stride_h + (d.kernel_h - 1) * d.dilation_h + 1;
  const std::int32_t width = (d.out_w - 1) * d.stride_w + d.kernel_w;
  const std::int32_t left = smaller(d.pad_left, width);
  const std::int32_t inside = larger(0, smaller(d.in_w, width - left));
  float* to = copy;
  for (int i = 0; i < height; ++i, to += width * d.in_c) {
    std::memset(to, 0, width * d.in_c * sizeof(float));
    const int y = i - d.pad_top;
    if (y >= 0 && y < d.in_h)
      std::memcpy(to + left * d.in_c, x + y * d.in_w * d.in_c, inside * d.in_c * sizeof(float));
  }
  return {copy, width};
}

/// One picture of the batch. The compiler gives scratch memory, and so a number of rows, only where there is
/// padding.
inline Picture picture(const Conv2d& d, const float* x, int image, float* scratch) {
  const float* from = x + image * d.in_h * d.in_w * d.in_c;
  return d.row_block != 0 ? pad(d, from, scratch) : Picture{from, d.in_w};
}

}  // namespace wg
