// The descriptor that all convolutions share; what fills it is the compiler's Conv2d class.
#pragma once

#include "wasmgrad/graph_runtime/kernels/activation.hpp"

namespace wg {

struct Conv2d {
  std::int32_t batch;
  std::int32_t in_h;
  std::int32_t in_w;
  std::int32_t in_c;
  std::int32_t out_h;
  std::int32_t out_w;
  std::int32_t out_c;
  std::int32_t kernel_h;
  std::int32_t kernel_w;
  std::int32_t stride_h;
  std::int32_t stride_w;
  std::int32_t dilation_h;
  std::int32_t dilation_w;
  std::int32_t pad_top;
  std::int32_t pad_left;
  std::int32_t groups;
  std::int32_t has_residual;
  Activation activation;
  std::int32_t depth_block;  // products of one pass of the GEMM
  std::int32_t
      row_block;  // pixels, or Winograd tiles, of one pass; for the direct kernels, whether there is padding
  std::int32_t tile;  // outputs in each direction of a Winograd tile
};

/// A pixel of the output.
struct Pixel {
  int image;
  int y;
  int x;
};

/// The `index`-th of all pixels when each image has `height` x `width`.
inline Pixel pixel_at(int index, int height, int width) {
  const int area = height * width;
  const int in_image = index % area;
  return {index / area, in_image / width, in_image % width};
}

inline int smaller(int a, int b) { return a < b ? a : b; }
inline int larger(int a, int b) { return a < b ? b : a; }

/// The taps of a window along one axis that fall into the picture: those in [begin, end).
struct Taps {
  int begin;
  int end;
};

inline Taps taps_inside(int start, int taps, int dilation, int size) {
  if (start >= 0 && start + (taps - 1) * dilation < size) [[likely]]
    return {0, taps};
  const int begin = start >= 0 ? 0 : smaller(taps, (-start + dilation - 1) / dilation);
  const int end = start >= size ? begin : smaller(taps, (size - start + dilation - 1) / dilation);
  return {begin, larger(begin, end)};
}

}  // namespace wg
