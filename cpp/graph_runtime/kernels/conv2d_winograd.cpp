// 3x3 convolution with stride 1 by Winograd's minimal filtering F(2x2, 3x3) and F(4x4, 3x3). Channels are
// lanes; their number is a multiple of kLanes. A pass transforms some tiles, multiplies each of their points
// by its weights, transforms back. The transforms would spread an infinity or NaN to outputs that do not see
// it: tiles with such outputs are computed again, by definition.
#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"
#include "wasmgrad/graph_runtime/kernels/gemm.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

// The one-dimensional transforms, of `v[0], v[step], ...` in place or to another array. `weights` goes back
// from the points kKept to the three weights.
template <int kTile>
struct Transform;

template <>
struct Transform<2> {
  static void input(const Vector* v, int step, Vector* out, int out_step) {
    const Vector v0 = v[0], v1 = v[step], v2 = v[2 * step], v3 = v[3 * step];
    out[0] = v0 - v2;
    out[out_step] = v1 + v2;
    out[2 * out_step] = v2 - v1;
    out[3 * out_step] = v3 - v1;
  }
  static void output(const Vector* v, int step, Vector* out, int out_step) {
    const Vector sum = v[step] + v[2 * step];
    const Vector difference = v[step] - v[2 * step];
    out[0] = v[0] + sum;
    out[out_step] = difference + v[3 * step];
  }
  static constexpr int kKept[] = {0, 1, 2, 3};
  static void weights(const Vector* v, int step, Vector* out, int out_step) {
    out[0] = v[0];
    out[out_step] = v[step] - v[2 * step];
    out[2 * out_step] = v[3 * step];
  }
};

template <>
struct Transform<4> {
  static void input(const Vector* v, int step, Vector* out, int out_step) {
    const Vector v0 = v[0], v1 = v[step], v2 = v[2 * step], v3 = v[3 * step], v4 = v[4 * step],
                 v5 = v[5 * step];
    const Vector four = splat(4), five = splat(5);
    const Vector even = v4 - four * v2;
    const Vector odd = v3 - four * v1;
    const Vector near = v4 - v2;
    const Vector far = splat(2) * (v3 - v1);
    out[0] = four * v0 - five * v2 + v4;
    out[out_step] = even + odd;
    out[2 * out_step] = even - odd;
    out[3 * out_step] = near + far;
    out[4 * out_step] = near - far;
    out[5 * out_step] = four * v1 - five * v3 + v5;
  }
  static void output(const Vector* v, int step, Vector* out, int out_step) {
    const Vector sum1 = v[step] + v[2 * step], difference1 = v[step] - v[2 * step];
    const Vector sum2 = v[3 * step] + v[4 * step], difference2 = v[3 * step] - v[4 * step];
    out[0] = v[0] + sum1 + sum2;
    out[out_step] = madd(splat(2), difference2, difference1);
    out[2 * out_step] = madd(splat(4), sum2, sum1);
    out[3 * out_step] = madd(splat(8), difference2, difference1) + v[5 * step];
  }
  static constexpr int kKept[] = {0, 1, 2, 5};
  static void weights(const Vector* v, int step, Vector* out, int out_step) {
    out[0] = splat(4) * v[0];
    out[out_step] = splat(3) * (v[2 * step] - v[step]);
    out[2 * out_step] = v[3 * step];
  }
};

template <int kTile>
class Winograd {
 public:
  Winograd(const Conv2d& d, const float* x, const float* bias, const float* residual, float* y,
           float* scratch)
      : d_(d),
        x_(x),
        bias_(bias),
        residual_(d.has_residual != 0 ? residual : nullptr),
        y_(y),
        inputs_(scratch),
        outputs_(inputs_ + kPoints * d.row_block * d.in_c),
        panels_(outputs_ + kPoints * d.row_block * d.out_c),
        tiles_h_((d.out_h + kTile - 1) / kTile),
        tiles_w_((d.out_w + kTile - 1) / kTile) {}

  void run(const float* weights) {
    const int tiles = d_.batch * tiles_h_ * tiles_w_;
    const int padded = (d_.out_c + kColumns - 1) / kColumns * kColumns;
    for (int first = 0; first < tiles; first += d_.row_block) {
      const int count = smaller(d_.row_block, tiles - first);
      in_parallel(count, kCost * d_.in_c, panels_, [&](Range part, void* /*scratch*/) {
        for (int i = part.begin; i < part.end; ++i)
          transform_input(pixel_at(first + i, tiles_h_, tiles_w_), inputs_ + i * d_.in_c);
      });
      const std::int64_t cost = std::int64_t{2} * count * d_.in_c * d_.out_c;
      in_parallel(kPoints, cost, panels_, [&](Range part, void* panels) {
        for (int point = part.begin; point < part.end; ++point) {
          const float* x = inputs_ + point * d_.row_block * d_.in_c;
          float* y = outputs_ + point * d_.row_block * d_.out_c;
          multiply({count, d_.in_c, d_.out_c, x, d_.in_c, weights + point * padded * d_.in_c, y, d_.out_c,
                    d_.depth_block, d_.row_block},
                   nullptr, static_cast<float*>(panels));
        }
      });
      in_parallel(count, kCost * d_.out_c, panels_, [&](Range part, void* /*scratch*/) {
        for (int i = part.begin; i < part.end; ++i) {
          const Pixel tile = pixel_at(first + i, tiles_h_, tiles_w_);
          if (!transform_output(tile, outputs_ + i * d_.out_c)) [[unlikely]]
            compute_directly(tile, weights, padded);
        }
      });
    }
  }

 private:
  static constexpr int kWindow = kTile + 2;
  static constexpr int kPoints = kWindow * kWindow;
  static constexpr std::int64_t kCost = 8 * kPoints;  // of transforming a tile of one channel

  // One tile of all channels to every point's row at `points`.
  void transform_input(const Pixel& tile, float* points) const {
    const int top = tile.y * kTile - d_.pad_top;
    const int left = tile.x * kTile - d_.pad_left;
    const float* corner = x_ + ((tile.image * d_.in_h + top) * d_.in_w + left) * d_.in_c;
    const Taps rows = taps_inside(top, kWindow, 1, d_.in_h);
    const Taps columns = taps_inside(left, kWindow, 1, d_.in_w);
    const bool whole = rows.begin == 0 && rows.end == kWindow && columns.begin == 0 && columns.end == kWindow;
    const std::int32_t stride = d_.row_block * d_.in_c;
    for (int channel = 0; channel < d_.in_c; channel += kLanes) {
      Vector window[kPoints];
      if (whole) [[likely]] {
        for (int i = 0; i < kWindow; ++i) {
          for (int j = 0; j < kWindow; ++j) {
            window[i * kWindow + j] = load(corner + (i * d_.in_w + j) * d_.in_c + channel);
          }
        }
      } else {
        for (int i = 0; i < kPoints; ++i) window[i] = splat(0);
        for (int i = rows.begin; i < rows.end; ++i) {
          for (int j = columns.begin; j < columns.end; ++j) {
            window[i * kWindow + j] = load(corner + (i * d_.in_w + j) * d_.in_c + channel);
          }
        }
      }
      for (int j = 0; j < kWindow; ++j) Transform<kTile>::input(window + j, kWindow, window + j, kWindow);
      for (int i = 0; i < kWindow; ++i) {
        Vector row[kWindow];
        Transform<kTile>::input(window + i * kWindow, 1, row, 1);
        for (int j = 0; j < kWindow; ++j) store(points + (i * kWindow + j) * stride + channel, row[j]);
      }
    }
  }

  // One tile from every point's row at `points` to the outputs, those of them that the picture has. Returns
  // whether all are finite, and their sum too: asking for it costs an addition each.
  bool transform_output(const Pixel& tile, const float* points) const {
    const int top = tile.y * kTile;
    const int left = tile.x * kTile;
    const int rows = smaller(kTile, d_.out_h - top);
    const int columns = smaller(kTile, d_.out_w - left);
    const std::int32_t corner = ((tile.image * d_.out_h + top) * d_.out_w + left) * d_.out_c;
    const std::int32_t stride = d_.row_block * d_.out_c;
    Vector total = splat(0);
    for (int channel = 0; channel < d_.out_c; channel += kLanes) {
      Vector window[kTile * kWindow];
      for (int j = 0; j < kWindow; ++j) {
        Vector column[kWindow];
        for (int i = 0; i < kWindow; ++i) column[i] = load(points + (i * kWindow + j) * stride + channel);
        Transform<kTile>::output(column, 1, window + j, kWindow);
      }
      const Vector bias = load(bias_ + channel);
      for (int i = 0; i < rows; ++i) {
        Vector row[kTile];
        Transform<kTile>::output(window + i * kWindow, 1, row, 1);
        const std::int32_t at = corner + i * d_.out_w * d_.out_c + channel;
        for (int j = 0; j < columns; ++j) {
          Vector v = row[j] + bias;
          if (residual_ != nullptr) v += load(residual_ + at + j * d_.out_c);
          total += v;
          store(y_ + at + j * d_.out_c, apply(d_.activation, v));
        }
      }
    }
    return sum(total - total) == 0;
  }

  // One tile of all channels, from the picture and the weights, which are transformed back.
  [[gnu::noinline]] void compute_directly(const Pixel& tile, const float* weights, int padded) const {
    for (int y = tile.y * kTile; y < smaller(tile.y * kTile + kTile, d_.out_h); ++y) {
      for (int x = tile.x * kTile; x < smaller(tile.x * kTile + kTile, d_.out_w); ++x) {
        for (int channel = 0; channel < d_.out_c; channel += kLanes)
          compute_output({tile.image, y, x}, channel, weights, padded);
      }
    }
  }

  void compute_output(const Pixel& at, int channel, const float* weights, int padded) const {
    const Taps rows = taps_inside(at.y - d_.pad_top, 3, 1, d_.in_h);
    const Taps columns = taps_inside(at.x - d_.pad_left, 3, 1, d_.in_w);
    const float* corner =
        x_ + ((at.image * d_.in_h + at.y - d_.pad_top) * d_.in_w + at.x - d_.pad_left) * d_.in_c;
    const float* column = weights + channel / kColumns * kColumns * d_.in_c + channel % kColumns;
    Vector total = load(bias_ + channel);
    for (int k = 0; k < d_.in_c; ++k) {
      Vector taps[9];
      taps_of(column + k * kColumns, padded * d_.in_c, taps);
      for (int i = rows.begin; i < rows.end; ++i) {
        for (int j = columns.begin; j < columns.end; ++j)
          total = madd(splat(corner[(i * d_.in_w + j) * d_.in_c + k]), taps[i * 3 + j], total);
      }
    }
    const std::int32_t to = ((at.image * d_.out_h + at.y) * d_.out_w + at.x) * d_.out_c + channel;
    if (residual_ != nullptr) total += load(residual_ + to);
    store(y_ + to, apply(d_.activation, total));
  }

  // The 3x3 weights behind the points at `points`, `stride` floats apart.
  static void taps_of(const float* points, std::int32_t stride, Vector (&taps)[9]) {
    using Back = Transform<kTile>;
    Vector rows[4 * 3];
    for (int i = 0; i < 4; ++i) {
      Vector row[4];
      for (int j = 0; j < 4; ++j)
        row[j] = load(points + (Back::kKept[i] * kWindow + Back::kKept[j]) * stride);
      Back::weights(row, 1, rows + i * 3, 1);
    }
    for (int j = 0; j < 3; ++j) Back::weights(rows + j, 3, taps + j, 3);
  }

  const Conv2d& d_;
  const float* x_;
  const float* bias_;
  const float* residual_;  // null: none
  float* y_;
  float* inputs_;   // [points][row_block][in_c]
  float* outputs_;  // [points][row_block][out_c]
  float* panels_;
  int tiles_h_;
  int tiles_w_;
};

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_winograd(const std::int32_t* descriptor, const float* x, const float* weights,
                                  const float* bias, const float* residual, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  auto* memory = static_cast<float*>(scratch);
  if (d.tile == 2) {
    wg::Winograd<2>(d, x, bias, residual, y, memory).run(weights);
  } else {
    wg::Winograd<4>(d, x, bias, residual, y, memory).run(weights);
  }
  return 0;
}
