// Pictures for kernels whose windows must not leave them: with padding, a copy with zeros around it.
#pragma once

#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"

namespace wg {

/// Pixels in rows of `width`; windows begin at the first one.
struct Picture {
  const float* pixels;
  std::int32_t width;
};

/// A copy of the picture with zeros around it, as far as windows reach.
inline Picture pad(const Conv2d& d, const float* x, float* padded) {
  const std::int32_t height = (d.out_h - 1) * d.stride_h + (d.kernel_h - 1) * d.dilation_h + 1;
  const std::int32_t width = (d.out_w - 1) * d.stride_w + (d.kernel_w - 1) * d.dilation_w + 1;
  const std::int32_t left = smaller(d.pad_left, width) * d.in_c;
  const std::int32_t row = width * d.in_c;
  const std::int32_t inside = larger(0, smaller(d.in_w * d.in_c, row - left));
  float* to = padded;
  for (int i = 0; i < height; ++i, to += row) {
    const int y = i - d.pad_top;
    if (y >= 0 && y < d.in_h) {
      clear(to, left);
      copy(to + left, x + y * d.in_w * d.in_c, inside);
      clear(to + left + inside, row - left - inside);
    } else {
      clear(to, row);
    }
  }
  return {padded, width};
}

/// One picture of the batch. The compiler gives scratch memory, and so a number of rows, only where there is
/// padding.
inline Picture picture(const Conv2d& d, const float* x, int image, float* scratch) {
  const float* from = x + image * d.in_h * d.in_w * d.in_c;
  return d.row_block != 0 ? pad(d, from, scratch) : Picture{from, d.in_w};
}

/// Parts of a tile. With two sums each, and what their products take, they fill 16 registers: engines load
/// all operands of a product first, and keep what does not fit in memory.
inline constexpr int kTileParts = 4;

/// A tile of kTileParts runs of neighbours in a row, some of them below the others.
struct Grid {
  int rows;
  int columns;
  std::int32_t x[kTileParts];  // where each part begins, from the first one, in the picture and in the output
  std::int32_t y[kTileParts];
};

/// The shape that takes the fewest tiles, for parts of `unit` outputs. The compiler knows that there is one.
inline Grid choose_grid(const Conv2d& d, std::int32_t picture_width, int unit) {
  int rows = 0;
  int fewest = 0;
  for (int r = 1; r <= kTileParts; r *= 2) {
    const int columns = kTileParts / r * unit;
    if (r > d.out_h || columns > d.out_w) continue;
    const int tiles = ((d.out_h - 1) / r + 1) * ((d.out_w - 1) / columns + 1);
    if (rows != 0 && tiles >= fewest) continue;
    rows = r;
    fewest = tiles;
  }
  const int across = kTileParts / rows;
  Grid grid{rows, across * unit, {}, {}};
  for (int i = 0; i < kTileParts; ++i) {
    const int row = i / across;
    const int column = i % across * unit;
    grid.x[i] = (row * d.stride_h * picture_width + column * d.stride_w) * d.in_c;
    grid.y[i] = (row * d.out_w + column) * d.out_c;
  }
  return grid;
}

}  // namespace wg
