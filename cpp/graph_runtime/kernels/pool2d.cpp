// Maximum and average of windows; channels are lanes.
#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

struct Pool2d {
  std::int32_t batch;
  std::int32_t in_h;
  std::int32_t in_w;
  std::int32_t channels;
  std::int32_t out_h;
  std::int32_t out_w;
  std::int32_t kernel_h;
  std::int32_t kernel_w;
  std::int32_t stride_h;
  std::int32_t stride_w;
  std::int32_t dilation_h;
  std::int32_t dilation_w;
  std::int32_t pad_top;
  std::int32_t pad_left;
  std::int32_t pad_bottom;
  std::int32_t pad_right;
  std::int32_t is_max;
  std::int32_t count_include_pad;
};

// One output: the part of its window that lies in the picture, and how many values an average divides by.
struct Window {
  const float* corner;
  int rows;
  int columns;
  std::int32_t row_step;
  std::int32_t column_step;
  float count;
};

// The window along one axis: its first value inside the picture, how many are inside, and how many count.
struct Span {
  int first;
  int inside;
  int counted;
};

Span span_at(int output, int stride, int taps, int dilation, int size, int pad_before, int pad_after,
             bool include_pad) {
  const int start = output * stride - pad_before;
  const Taps inside = taps_inside(start, taps, dilation, size);
  const int count = inside.end - inside.begin;
  const int first = start + inside.begin * dilation;
  if (!include_pad) return {first, count, count};
  const Taps all = taps_inside(start + pad_before, taps, dilation, pad_before + size + pad_after);
  return {first, count, all.end - all.begin};
}

struct Maximum {
  static Vector first() { return splat(-__builtin_inff()); }
  static Vector add(Vector total, Vector v) { return largest(total, v); }
  static Vector finish(Vector total, float /*count*/) { return total; }
};

struct Average {
  static Vector first() { return splat(0); }
  static Vector add(Vector total, Vector v) { return total + v; }
  static Vector finish(Vector total, float count) { return total / splat(count); }
};

// kVectors vectors of channels at a time.
template <typename Reduce, int kVectors>
void reduce(const Window& window, int channel, float* y) {
  Vector totals[kVectors];
  for (int v = 0; v < kVectors; ++v) totals[v] = Reduce::first();
  for (int i = 0; i < window.rows; ++i) {
    const float* x = window.corner + i * window.row_step + channel;
    for (int j = 0; j < window.columns; ++j, x += window.column_step) {
      for (int v = 0; v < kVectors; ++v) totals[v] = Reduce::add(totals[v], load(x + v * kLanes));
    }
  }
  for (int v = 0; v < kVectors; ++v) store(y + channel + v * kLanes, Reduce::finish(totals[v], window.count));
}

// Fewer channels than a vector has.
template <typename Reduce>
void reduce_few(const Window& window, int count, float* y) {
  Vector total = Reduce::first();
  for (int i = 0; i < window.rows; ++i) {
    const float* x = window.corner + i * window.row_step;
    for (int j = 0; j < window.columns; ++j, x += window.column_step)
      total = Reduce::add(total, load_first(x, count));
  }
  store_first(y, Reduce::finish(total, window.count), count);
}

// A row of windows of 2x2 values, which pooling mostly has, whole in the picture and `step` apart.
template <typename Reduce>
void reduce_pairs(const Window& first, int outputs, std::int32_t step, int channels, float* y) {
  const std::int32_t right = first.column_step;
  const auto one = [&](const float* top, const float* bottom, int channel) {
    const Vector above = Reduce::add(load(top + channel), load(top + channel + right));
    const Vector below = Reduce::add(load(bottom + channel), load(bottom + channel + right));
    store(y + channel, Reduce::finish(Reduce::add(above, below), first.count));
  };
  const float* top = first.corner;
  const float* bottom = top + first.row_step;
  const int last = channels - kLanes;  // the last vector may do some channels a second time
  for (const float* end = y + outputs * channels; y != end; top += step, bottom += step, y += channels) {
    for (int channel = 0; channel < last; channel += kLanes) one(top, bottom, channel);
    one(top, bottom, last);
  }
}

template <typename Reduce>
void reduce_all(const Window& window, int channels, float* y) {
  int channel = 0;
  for (; channel + 4 * kLanes <= channels; channel += 4 * kLanes) reduce<Reduce, 4>(window, channel, y);
  for (; channel + kLanes <= channels; channel += kLanes) reduce<Reduce, 1>(window, channel, y);
  if (channel == channels) return;
  if (channels >= kLanes) {
    reduce<Reduce, 1>(window, channels - kLanes, y);  // some channels a second time
  } else {
    reduce_few<Reduce>(window, channels, y);
  }
}

template <typename Reduce>
void pool(const Pool2d& d, const float* x, float* y, Range outputs) {
  const bool include_pad = d.count_include_pad != 0;
  const std::int32_t row_size = d.in_w * d.channels;
  const bool inside =
      d.pad_left == 0 && (d.out_w - 1) * d.stride_w + (d.kernel_w - 1) * d.dilation_w < d.in_w;
  y += outputs.begin * d.out_w * d.channels;
  for (int i = outputs.begin; i < outputs.end; ++i) {
    const Span rows = span_at(i % d.out_h, d.stride_h, d.kernel_h, d.dilation_h, d.in_h, d.pad_top,
                              d.pad_bottom, include_pad);
    const float* row = x + (i / d.out_h * d.in_h + rows.first) * row_size;
    if (inside && rows.inside == 2 && d.kernel_w == 2 && d.channels >= kLanes) {
      const float count = static_cast<float>(rows.counted * d.kernel_w);
      const Window first{row, 2, 2, d.dilation_h * row_size, d.dilation_w * d.channels, count};
      reduce_pairs<Reduce>(first, d.out_w, d.stride_w * d.channels, d.channels, y);
      y += d.out_w * d.channels;
      continue;
    }
    for (int j = 0; j < d.out_w; ++j, y += d.channels) {
      const Span columns = inside ? Span{j * d.stride_w, d.kernel_w, d.kernel_w}
                                  : span_at(j, d.stride_w, d.kernel_w, d.dilation_w, d.in_w, d.pad_left,
                                            d.pad_right, include_pad);
      const float count = static_cast<float>(larger(rows.counted * columns.counted, 1));
      const Window window{
          row + columns.first * d.channels, rows.inside, columns.inside, d.dilation_h * row_size,
          d.dilation_w * d.channels,        count};
      reduce_all<Reduce>(window, d.channels, y);
    }
  }
}

}  // namespace
}  // namespace wg

extern "C" int wg_pool2d(const std::int32_t* descriptor, const float* x, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Pool2d*>(descriptor);
  const std::int64_t cost = std::int64_t{10} * d.out_w * d.channels * d.kernel_h * d.kernel_w;
  wg::in_parallel(d.batch * d.out_h, cost, scratch, [&](wg::Range rows, void* /*scratch*/) {
    if (d.is_max != 0) {
      wg::pool<wg::Maximum>(d, x, y, rows);
    } else {
      wg::pool<wg::Average>(d, x, y, rows);
    }
  });
  return 0;
}
