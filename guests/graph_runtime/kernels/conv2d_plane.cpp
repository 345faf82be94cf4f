// Convolution of pictures with one channel to few: lanes are neighbours in a row, not channels, so that none
// is idle. Outputs are turned into NHWC when they are stored.
#include "picture.hpp"
#include "tile.hpp"

namespace wg {
namespace {

constexpr int kAtATime = 6;  // channels: with two vectors of pixels, 12 sums
constexpr int kPixels = 2 * kLanes;

class Plane {
 public:
  Plane(const Conv2d& d, const Activation& activation, const float* bias, float* y)
      : d_(d), activation_(activation), bias_(bias), y_(y) {}

  void convolve(const Picture& picture, const float* weights, int image) const {
    const int taps = d_.kernel_h * d_.kernel_w;
    for (int channel = 0; channel < d_.out_c; channel += kAtATime) {
      const int channels = smaller(kAtATime, d_.out_c - channel);
      for (int row = 0; row < d_.out_h; ++row) {
        const Window window{picture.pixels + row * d_.stride_h * picture.width, d_.dilation_h * picture.width,
                            weights};
        outputs(window, channel, channels, (image * d_.out_h + row) * d_.out_w);
      }
      weights += taps * channels;
    }
  }

 private:
  struct Window {
    const float* x;
    std::int32_t row_step;
    const float* weights;  // [taps][channels]
  };

  // `channels` channels of the row whose first output is the pixel `first`.
  void outputs(const Window& row, int channel, int channels, int first) const {
    for (int column = 0; column < d_.out_w; column += kPixels) {
      const int start = smaller(column, d_.out_w - kPixels);  // the last tile may do some a second time
      const Window window{row.x + start, row.row_step, row.weights};
      float* y = y_ + (first + start) * d_.out_c + channel;
      switch (channels) {
        case 1:
          tile<1>(window, bias_ + channel, y);
          break;
        case 2:
          tile<2>(window, bias_ + channel, y);
          break;
        case 3:
          tile<3>(window, bias_ + channel, y);
          break;
        case 4:
          tile<4>(window, bias_ + channel, y);
          break;
        case 5:
          tile<5>(window, bias_ + channel, y);
          break;
        default:
          tile<kAtATime>(window, bias_ + channel, y);
      }
      activate(activation_.kind, {nullptr, nullptr, y, d_.out_c, channels}, kPixels);
    }
  }

  template <int kChannels>
  [[gnu::noinline]] void tile(const Window& window, const float* bias, float* y) const {
    Partial sums[kChannels] = {};
    const float* row = window.x;
    const float* weights = window.weights;
    for (int i = 0; i < d_.kernel_h; ++i, row += window.row_step) {
      const float* x = row;
      for (const float* end = x + d_.kernel_w; x != end; ++x, weights += kChannels) {
        detach(x);
        detach(weights);
        const Vector low = load(x);
        const Vector high = load(x + kLanes);
#pragma GCC unroll 6
        for (int c = 0; c < kChannels; ++c) {
          const Vector weight = splat(weights[c]);
          sums[c].low = madd(low, weight, sums[c].low);
          sums[c].high = madd(high, weight, sums[c].high);
        }
      }
    }
    const Vector least = splat(activation_.low);
    const Vector most = splat(activation_.high);
#pragma GCC unroll 6
    for (int c = 0; c < kChannels; ++c) {
      const Vector b = splat(bias[c]);
      sums[c].low = at_most(at_least(sums[c].low + b, least), most);
      sums[c].high = at_most(at_least(sums[c].high + b, least), most);
    }
    const std::int32_t step = d_.out_c;
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
#pragma GCC unroll 6
      for (int c = 0; c < kChannels; ++c) {
        y[i * step + c] = sums[c].low[i];
        y[(i + kLanes) * step + c] = sums[c].high[i];
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
    plane.convolve(wg::picture(d, x, image, static_cast<float*>(scratch)), weights, image);
  return 0;
}
