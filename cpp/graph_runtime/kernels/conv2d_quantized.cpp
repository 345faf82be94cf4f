// Convolution of 8-bit pictures of any shape as a matrix product of gathered windows.
#include "wasmgrad/graph_runtime/kernels/conv2d_quantized.hpp"

#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"
#include "wasmgrad/graph_runtime/kernels/quantized_gemm.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

struct Windows {
  const Conv2d& d;
  const std::uint8_t* x;  // at the first channel of the group
  std::int32_t channels;  // of a group
  std::uint8_t outside;   // what stands for zero
};

// Windows are gathered one after the other.
const Pixel& move_to(const Conv2d& d, std::int32_t next, Cursor& cursor) {
  if (next != cursor.index + 1 || cursor.index < 0) {
    cursor.pixel = pixel_at(next, d.out_h, d.out_w);
  } else if (++cursor.pixel.x == d.out_w) {
    cursor.pixel = pixel_at(next, d.out_h, d.out_w);
  }
  cursor.index = next;
  return cursor.pixel;
}

// Values of one row of the picture, `at` bytes from its begin, which may lie outside.
void gather_run(const Windows& w, const std::uint8_t* row, std::int32_t at, std::int32_t count,
                std::uint8_t* to) {
  const std::int32_t end = at + count;
  if (at >= 0 && end <= w.d.in_w * w.d.in_c) [[likely]]
    return copy_bytes(to, row + at, count);
  const std::int32_t first = smaller(larger(at, 0), end);
  const std::int32_t last = larger(smaller(end, w.d.in_w * w.d.in_c), first);
  fill_bytes(to, w.outside, first - at);
  copy_bytes(to + (first - at), row + first, last - first);
  fill_bytes(to + (last - at), w.outside, end - last);
}

// Of windows of one pixel, one after the other.
const std::uint8_t* pixel(const void* source, std::int32_t index, Cursor& /*cursor*/,
                          std::uint8_t* /*buffer*/) {
  const auto& w = *static_cast<const Windows*>(source);
  return w.x + index * w.d.in_c;
}

bool takes_every_pixel(const Conv2d& d) {
  return d.kernel_h == 1 && d.kernel_w == 1 && d.stride_h == 1 && d.stride_w == 1 && d.pad_top == 0 &&
         d.pad_left == 0 && d.in_h == d.out_h && d.in_w == d.out_w;
}

const std::uint8_t* window(const void* source, std::int32_t index, Cursor& cursor, std::uint8_t* buffer) {
  const auto& w = *static_cast<const Windows*>(source);
  const Conv2d& d = w.d;
  const Pixel pixel = move_to(d, index, cursor);
  const int top = pixel.y * d.stride_h - d.pad_top;
  const int left = pixel.x * d.stride_w - d.pad_left;
  const std::uint8_t* image = w.x + pixel.image * d.in_h * d.in_w * d.in_c;
  if (d.kernel_h == 1 && d.kernel_w == 1 && top >= 0 && top < d.in_h && left >= 0 && left < d.in_w) {
    return image + (top * d.in_w + left) * d.in_c;
  }
  const std::int32_t run = d.kernel_w * w.channels;
  std::uint8_t* to = buffer;
  for (int i = 0; i < d.kernel_h; ++i) {
    const int y = top + i * d.dilation_h;
    const std::uint8_t* row = image + y * d.in_w * d.in_c;
    if (y < 0 || y >= d.in_h) {
      fill_bytes(to, w.outside, run);
      to += run;
    } else if (d.dilation_w == 1 && d.groups == 1) {
      gather_run(w, row, left * d.in_c, run, to);
      to += run;
    } else {
      for (int j = 0; j < d.kernel_w; ++j, to += w.channels) {
        const int x = left + j * d.dilation_w;
        if (x >= 0 && x < d.in_w) {
          copy_bytes(to, row + x * d.in_c, w.channels);
        } else {
          fill_bytes(to, w.outside, w.channels);
        }
      }
    }
  }
  return buffer;
}

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_quantized_gemm(const std::int32_t* descriptor, const std::uint8_t* x,
                                        const std::uint8_t* x_zero, const float* factor,
                                        const std::int8_t* weights, const std::int32_t* columns,
                                        const float* residual, void* y, void* scratch) {
  const auto& all = *reinterpret_cast<const wg::Conv2dQuantized*>(descriptor);
  const wg::Conv2d& d = all.conv;
  const std::int32_t out_c = d.out_c / d.groups;
  const std::int32_t tiles = (out_c + wg::kDotColumns - 1) / wg::kDotColumns;
  const std::int32_t padded = tiles * wg::kDotColumns;
  const std::int32_t channels = d.in_c / d.groups;
  const std::int32_t k = d.kernel_h * d.kernel_w * channels;
  const std::int32_t group_weights = tiles * ((k + wg::kDepth - 1) / wg::kDepth) * wg::kDotWeights;
  const auto convolve = [&](wg::Range groups, void* memory) {
    for (int group = groups.begin; group < groups.end; ++group) {
      const wg::Windows windows{d, x + group * channels, channels, *x_zero};
      const wg::QuantizedProduct product{
          {&windows, wg::takes_every_pixel(d) ? wg::pixel : wg::window, d.batch * d.out_h * d.out_w, k},
          weights + group * group_weights,
          {columns + group * 5 * padded, padded},
          out_c,
          residual,
          y,
          group * out_c,
          d.out_c,
          d.row_block};
      wg::multiply(all.quantization, x_zero, *factor, product, memory);
    }
  };
  if (d.groups < wg::kFewParts) {
    convolve({0, d.groups}, scratch);  // each in parallel
  } else {
    wg::in_parallel(d.groups, std::int64_t{2} * d.batch * d.out_h * d.out_w * out_c * k, scratch, convolve);
  }
  return 0;
}
