// Convolution to few channels, kRows outputs wide at least: packing windows would cost more than it saves, so
// tiles read the picture itself. A picture with padding is first copied into a larger one.
#include "conv2d.hpp"
#include "tile.hpp"

namespace wg {
namespace {

struct Picture {
  const float* pixels;
  std::int32_t width;
};

class Direct {
 public:
  Direct(const Conv2d& d, const float* weights, const Epilogue& epilogue, float* y)
      : d_(d), weights_(weights), epilogue_(epilogue), y_(y) {}

  void convolve(const Picture& picture, int image) const {
    for (int row = 0; row < d_.out_h; ++row) {
      const float* x = picture.pixels + row * d_.stride_h * picture.width * d_.in_c;
      const std::int32_t row_step = d_.dilation_h * picture.width * d_.in_c;
      const int first = (image * d_.out_h + row) * d_.out_w;
      for (int column = 0; column < d_.out_w; column += kRows) {
        const int start =
            smaller(column, d_.out_w - kRows);  // the last tile may do some outputs a second time
        outputs(x, row_step, start, first + start);
      }
    }
  }

 private:
  // All channels of kRows neighbours, the first of which is the output `pixel`.
  void outputs(const float* row, std::int32_t row_step, int column, int pixel) const {
    const float* x = row + column * d_.stride_w * d_.in_c;
    const float* weights = weights_;
    const std::int32_t at = pixel * d_.out_c;
    for (int channel = 0; channel < d_.out_c; channel += kColumns) {
      const Place place{epilogue_.bias + channel,
                        epilogue_.residual != nullptr ? epilogue_.residual + at + channel : nullptr,
                        y_ + at + channel, d_.out_c, smaller(kColumns, d_.out_c - channel)};
      if (place.columns == kColumns) {
        tile<true>(x, row_step, weights, place);
      } else {
        tile<false>(x, row_step, weights, place);
      }
      activate(epilogue_.activation.kind, place, kRows);
      weights += d_.kernel_h * d_.kernel_w * d_.in_c * kColumns;
    }
  }

  template <bool kWhole>
  [[gnu::noinline]] void tile(const float* window, std::int32_t row_step, const float* weights,
                              const Place& place) const {
    Partial sums[kRows] = {};
    const std::int32_t step = d_.stride_w * d_.in_c;
    const std::int32_t products = d_.kernel_w * d_.in_c;
    for (int i = 0; i < d_.kernel_h; ++i, window += row_step) {
      const float* x = window;
      for (const float* end = x + products; x != end; ++x, weights += kColumns) {
        detach(x);
        detach(weights);
        const Vector low = load(weights);
        const Vector high = load(weights + kLanes);
#pragma GCC unroll 4
        for (int o = 0; o < kRows; ++o) {
          const Vector value = splat(x[o * step]);
          sums[o].low = madd(value, low, sums[o].low);
          sums[o].high = madd(value, high, sums[o].high);
        }
      }
    }
    finish<kRows, kWhole>(epilogue_.activation, place, sums);
#pragma GCC unroll 4
    for (int o = 0; o < kRows; ++o) store_row<kWhole>(place.y + o * place.stride, sums[o], place.columns);
  }

  const Conv2d& d_;
  const float* weights_;
  const Epilogue& epilogue_;
  float* y_;
};

// A copy of the picture with zeros around it, as far as windows reach.
Picture pad(const Conv2d& d, const float* x, float* copy) {
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

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_direct(const std::int32_t* descriptor, const float* x, const float* weights,
                                const float* bias, const float* residual, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  const wg::Epilogue epilogue{bias, d.has_residual != 0 ? residual : nullptr, d.activation};
  const wg::Direct direct(d, weights, epilogue, y);
  for (int image = 0; image < d.batch; ++image) {
    const float* from = x + image * d.in_h * d.in_w * d.in_c;
    // The compiler gives scratch memory, and so a number of rows, only where there is padding.
    const wg::Picture picture =
        d.row_block != 0 ? wg::pad(d, from, static_cast<float*>(scratch)) : wg::Picture{from, d.in_w};
    direct.convolve(picture, image);
  }
  return 0;
}
