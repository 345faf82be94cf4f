// Convolution to few channels, kWidest outputs wide at least: packing windows would cost more than it saves,
// so tiles read the picture itself. A picture with padding is first copied into a larger one.
#include "picture.hpp"
#include "tile.hpp"

namespace wg {
namespace {

constexpr int kWidest = 5;  // outputs of a tile: with two vectors of channels, 10 sums

class Direct {
 public:
  Direct(const Conv2d& d, const float* weights, const Epilogue& epilogue, float* y)
      : d_(d), weights_(weights), epilogue_(epilogue), y_(y) {}

  void convolve(const Picture& picture, int image) const {
    const auto outputs_of = [this](int width) { return (d_.out_w + width - 1) / width * width; };
    if (outputs_of(kWidest) < outputs_of(kWidest - 1)) {
      convolve_by<kWidest>(picture, image);
    } else {
      convolve_by<kWidest - 1>(picture, image);
    }
  }

 private:
  template <int kWidth>
  void convolve_by(const Picture& picture, int image) const {
    for (int row = 0; row < d_.out_h; ++row) {
      const float* x = picture.pixels + row * d_.stride_h * picture.width * d_.in_c;
      const std::int32_t row_step = d_.dilation_h * picture.width * d_.in_c;
      const int first = (image * d_.out_h + row) * d_.out_w;
      for (int column = 0; column < d_.out_w; column += kWidth) {
        const int start =
            smaller(column, d_.out_w - kWidth);  // the last tile may do some outputs a second time
        outputs<kWidth>(x, row_step, start, first + start);
      }
    }
  }

  // All channels of kWidth neighbours, the first of which is the output `pixel`.
  template <int kWidth>
  void outputs(const float* row, std::int32_t row_step, int column, int pixel) const {
    const float* x = row + column * d_.stride_w * d_.in_c;
    const float* weights = weights_;
    const std::int32_t at = pixel * d_.out_c;
    for (int channel = 0; channel < d_.out_c; channel += kColumns) {
      const Place place{epilogue_.bias + channel,
                        epilogue_.residual != nullptr ? epilogue_.residual + at + channel : nullptr,
                        y_ + at + channel, d_.out_c, smaller(kColumns, d_.out_c - channel)};
      if (place.columns == kColumns) {
        tile<kWidth, true>(x, row_step, weights, place);
      } else {
        tile<kWidth, false>(x, row_step, weights, place);
      }
      activate(epilogue_.activation.kind, place, kWidth);
      weights += d_.kernel_h * d_.kernel_w * d_.in_c * kColumns;
    }
  }

  template <int kWidth, bool kWhole>
  [[gnu::noinline]] void tile(const float* window, std::int32_t row_step, const float* weights,
                              const Place& place) const {
    Partial sums[kWidth] = {};
    const std::int32_t step = d_.stride_w * d_.in_c;
    const std::int32_t products = d_.kernel_w * d_.in_c;
    for (int i = 0; i < d_.kernel_h; ++i, window += row_step) {
      const float* x = window;
      for (const float* end = x + products; x != end; ++x, weights += kColumns) {
        detach(x);
        detach(weights);
        const Vector low = load(weights);
        const Vector high = load(weights + kLanes);
#pragma GCC unroll 5
        for (int o = 0; o < kWidth; ++o) {
          const Vector value = splat(x[o * step]);
          sums[o].low = madd(value, low, sums[o].low);
          sums[o].high = madd(value, high, sums[o].high);
        }
      }
    }
    finish<kWidth, kWhole>(epilogue_.activation, place, sums);
#pragma GCC unroll 5
    for (int o = 0; o < kWidth; ++o) store_row<kWhole>(place.y + o * place.stride, sums[o], place.columns);
  }

  const Conv2d& d_;
  const float* weights_;
  const Epilogue& epilogue_;
  float* y_;
};

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_direct(const std::int32_t* descriptor, const float* x, const float* weights,
                                const float* bias, const float* residual, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  const wg::Epilogue epilogue{bias, d.has_residual != 0 ? residual : nullptr, d.activation};
  const wg::Direct direct(d, weights, epilogue, y);
  for (int image = 0; image < d.batch; ++image) {
    direct.convolve(wg::picture(d, x, image, static_cast<float*>(scratch)), image);
  }
  return 0;
}
