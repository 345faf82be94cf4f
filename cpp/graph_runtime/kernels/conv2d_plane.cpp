// Convolution of pictures with one channel to few: lanes are neighbours in a row, not channels, so that none
// is idle. Outputs are turned into NHWC when they are stored.
#include "wasmgrad/graph_runtime/kernels/picture.hpp"
#include "wasmgrad/graph_runtime/kernels/tile.hpp"

namespace wg {
namespace {

constexpr int kAtATime = 2;  // channels: with kTileParts vectors of pixels, 8 sums

class Plane {
 public:
  Plane(const Conv2d& d, const Activation& activation, const float* bias, float* y)
      : d_(d), activation_(activation), bias_(bias), y_(y) {}

  void convolve(const Picture& picture, const float* weights, int image, void* scratch) const {
    const Grid grid = choose_grid(d_, picture.width, kLanes);
    rows_in_parallel(d_, grid, scratch, [&](Range rows) { convolve(picture, weights, image, grid, rows); });
  }

 private:
  void convolve(const Picture& picture, const float* weights, int image, const Grid& grid, Range rows) const {
    const int taps = d_.kernel_h * d_.kernel_w;
    for (int channel = 0; channel < d_.out_c; channel += kAtATime) {
      const int channels = smaller(kAtATime, d_.out_c - channel);
      for (int i = rows.begin; i < rows.end; i += grid.rows) {
        const int row = smaller(i, d_.out_h - grid.rows);  // the last tiles may do some a second time
        const Window window{picture.pixels + row * d_.stride_h * picture.width, d_.dilation_h * picture.width,
                            weights};
        const int first = (image * d_.out_h + row) * d_.out_w;
        if (channels == kAtATime) {
          outputs<kAtATime>(grid, window, channel, first);
        } else {
          outputs<1>(grid, window, channel, first);
        }
      }
      weights += taps * channels;
    }
  }

  struct Window {
    const float* x;
    std::int32_t row_step;
    const float* weights;  // [taps][channels]
  };

  // kChannels channels of the rows whose first output is the pixel `first`.
  template <int kChannels>
  [[gnu::noinline]] void outputs(const Grid& grid, const Window& rows, int channel, int first) const {
    for (int j = 0; j < d_.out_w; j += grid.columns) {
      const int column = smaller(j, d_.out_w - grid.columns);
      const Window window{rows.x + column, rows.row_step, rows.weights};
      float* y = y_ + (first + column) * d_.out_c + channel;
      tile<kChannels>(grid, window, bias_ + channel, y);
      if (activation_.kind <= Activation::Kind::kClip) continue;
      for (const std::int32_t at : grid.y)
        activate(activation_.kind, {nullptr, nullptr, y + at, d_.out_c, kChannels}, kLanes);
    }
  }

  template <int kChannels>
  void tile(const Grid& grid, const Window& window, const float* bias, float* y) const {
    Vector sums[kTileParts][kChannels];
#pragma GCC unroll 2
    for (int c = 0; c < kChannels; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileParts; ++v) sums[v][c] = splat(bias[c]);
    }
    const float* row = window.x;
    const float* weights = window.weights;
    const std::int32_t row_step = window.row_step;
    const std::int32_t columns = d_.kernel_w;
    const std::int32_t second = grid.x[1];
    const std::int32_t third = grid.x[2];
    const std::int32_t fourth = grid.x[3];
    for (const float* last = weights + d_.kernel_h * columns * kChannels; weights != last; row += row_step) {
      const float* x = row;
      for (const float* end = x + columns; x != end; ++x, weights += kChannels) {
        detach(x);
        detach(weights);
        const Vector values[kTileParts] = {load(x), load(x + second), load(x + third), load(x + fourth)};
#pragma GCC unroll 2
        for (int c = 0; c < kChannels; ++c) {
          const Vector weight = splat(weights[c]);
#pragma GCC unroll 4
          for (int v = 0; v < kTileParts; ++v) sums[v][c] = madd(values[v], weight, sums[v][c]);
        }
      }
    }
    const Vector least = splat(activation_.low);
    const Vector most = splat(activation_.high);
#pragma GCC unroll 2
    for (int c = 0; c < kChannels; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileParts; ++v) sums[v][c] = at_most(at_least(sums[v][c], least), most);
    }
    const std::int32_t stride = d_.out_c;  // lane i of channel c belongs at y[i * stride + c]
    float* const ys[kTileParts] = {y, y + grid.y[1], y + grid.y[2], y + grid.y[3]};
#pragma GCC unroll 4
    for (int v = 0; v < kTileParts; ++v) {
      if constexpr (kChannels == 2) {
        store_pairs(ys[v], stride, sums[v][0], sums[v][1]);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) ys[v][i * stride] = sums[v][0][i];
      }
    }
  }

  const Conv2d& d_;
  const Activation& activation_;
  const float* bias_;
  float* y_;
};

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_plane(const std::int32_t* descriptor, const float* x, const float* weights,
                               const float* bias, const float* /*residual*/, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  const wg::Plane plane(d, d.activation, bias, y);
  for (int image = 0; image < d.batch; ++image)
    plane.convolve(wg::picture(d, x, image, static_cast<float*>(scratch)), weights, image, scratch);
  return 0;
}
