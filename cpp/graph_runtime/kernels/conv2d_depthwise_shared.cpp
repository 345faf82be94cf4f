// Convolution of each channel by itself, where neighbours share most of their windows: stride 1, no dilation.
// A block of channels, a line of the cache, is first copied into a picture of its own, with zeros around it:
// there neighbours adjoin, whatever the number of channels, and no window leaves the picture. A register tile
// is some neighbouring outputs of one vector of channels; taps of a row of the window are taken up to three
// at a time, so that what they see is loaded once.
#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"

namespace wg {
namespace {

constexpr int kBlock = 16;    // channels: a line of the cache
constexpr int kTogether = 3;  // taps of a row

static_assert(kBlock % kLanes == 0);

// Outputs of a register tile: the number, at most `width`, with which the fewest are computed.
int choose_tile(int width) {
  int best = 4;
  int fewest = (width + 3) / 4 * 4;
  for (int tile = 7; tile <= 8; ++tile) {
    const int computed = (width + tile - 1) / tile * tile;
    if (tile > width || computed > fewest) continue;
    best = tile;
    fewest = computed;
  }
  return best;
}

class SharedDepthwise {
 public:
  SharedDepthwise(const Conv2d& d, const float* residual, float* y, float* scratch)
      : d_(d),
        residual_(d.has_residual != 0 ? residual : nullptr),
        y_(y),
        picture_(scratch),
        width_(d.out_w + d.kernel_w - 1),
        tile_(choose_tile(d.out_w)) {}

  // Channels [channel, channel + channels) of one image.
  void convolve(const float* x, const float* weights, const float* bias, int channel, int channels,
                int image) const {
    for (int first = 0; first < d_.out_h; first += d_.row_block) {
      const int rows = smaller(d_.row_block, d_.out_h - first);
      copy_rows(x, channels, first - d_.pad_top, rows + (d_.kernel_h - 1) * d_.dilation_h);
      for (int i = 0; i < rows; ++i) {
        const std::int32_t at = (image * d_.out_h + first + i) * d_.out_w * d_.out_c + channel;
        const Window window{picture_ + i * width_ * kBlock, weights, bias};
        if (d_.kernel_w == kTogether) {
          row<true>(window, channels, at);
        } else {
          row<false>(window, channels, at);
        }
      }
    }
  }

 private:
  struct Window {
    const float* x;
    const float* weights;
    const float* bias;
  };

  // Rows [top, top + height) of the image, which may lie outside of it.
  void copy_rows(const float* x, int channels, int top, int height) const {
    const int left = smaller(d_.pad_left, width_);
    const int inside = larger(0, smaller(d_.in_w, width_ - left));
    float* to = picture_;
    for (int y = top; y < top + height; ++y, to += width_ * kBlock) {
      const bool exists = y >= 0 && y < d_.in_h;
      clear(to, (exists ? left : width_) * kBlock);
      if (!exists) continue;
      copy_pixels(x + y * d_.in_w * d_.in_c, channels, inside, to + left * kBlock);
      clear(to + (left + inside) * kBlock, (width_ - left - inside) * kBlock);
    }
  }

  void copy_pixels(const float* x, int channels, int count, float* to) const {
    if (channels == kBlock) {
      for (int i = 0; i < count; ++i, x += d_.in_c, to += kBlock) {
        detach(x);
        detach(to);
#pragma GCC unroll 16
        for (int v = 0; v < kBlock; v += kLanes) store(to + v, load(x + v));
      }
    } else {
      for (int i = 0; i < count; ++i, x += d_.in_c, to += kBlock) {
        for (int v = 0; v < channels; v += kLanes) store(to + v, load_first(x + v, channels - v));
      }
    }
  }

  // A row of outputs. kThree: rows of the window have three taps.
  template <bool kThree>
  void row(const Window& window, int channels, std::int32_t at) const {
    if (tile_ == 8) return outputs<kThree, 8>(window, channels, at);
    if (tile_ == 7) return outputs<kThree, 7>(window, channels, at);
    outputs<kThree, 4>(window, channels, at);
  }

  template <bool kThree, int kOutputs>
  void outputs(const Window& window, int channels, std::int32_t at) const {
    for (int next = 0; next < d_.out_w; next += kOutputs) {
      const int column = smaller(next, d_.out_w - kOutputs);  // the last tile may do some a second time
      const float* x = window.x + column * kBlock;
      const std::int32_t here = at + column * d_.out_c;
      for (int v = 0; v < channels; v += kLanes)
        tile<kThree, kOutputs>({x + v, window.weights + v, window.bias + v}, channels - v, here + v);
    }
  }

  template <bool kThree, int kOutputs>
  void tile(const Window& window, int channels, std::int32_t at) const {
    Vector sums[kOutputs];
    const Vector bias = load(window.bias);
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) sums[o] = bias;
    const float* x = window.x;
    const float* weights = window.weights;
    const std::int32_t row_step = d_.dilation_h * width_ * kBlock;
    for (const float* last = weights + d_.kernel_h * d_.kernel_w * kBlock; weights != last; x += row_step) {
      if constexpr (kThree) {
        add<kTogether>(x, weights, sums);
      } else {
        const float* tap = x;
        const float* end = weights + d_.kernel_w * kBlock;
        for (const float* whole = weights + d_.kernel_w / kTogether * kTogether * kBlock; weights != whole;
             tap += kTogether * kBlock)
          add<kTogether>(tap, weights, sums);
        if (end - weights == 2 * kBlock) add<2>(tap, weights, sums);
        if (end - weights == kBlock) add<1>(tap, weights, sums);
      }
    }
    finish(sums, channels, at);
  }

  // Adds the products of kTaps neighbouring taps and goes on to the weights after them.
  template <int kTaps, int kOutputs>
  static void add(const float*& x, const float*& weights, Vector (&sums)[kOutputs]) {
    constexpr int kColumns = kOutputs - 1 + kTaps;
    detach(x);
    detach(weights);
    Vector columns[kColumns];
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) columns[c] = load(x + c * kBlock);
#pragma GCC unroll 3
    for (int t = 0; t < kTaps; ++t) {
      const Vector w = load(weights + t * kBlock);
#pragma GCC unroll 8
      for (int o = 0; o < kOutputs; ++o) sums[o] = madd(columns[o + t], w, sums[o]);
    }
    weights += kTaps * kBlock;
  }

  template <int kOutputs>
  void finish(Vector (&sums)[kOutputs], int channels, std::int32_t at) const {
    float* y = y_ + at;
    if (residual_ != nullptr) {
      const float* residual = residual_ + at;
#pragma GCC unroll 8
      for (int o = 0; o < kOutputs; ++o, residual += d_.out_c) sums[o] += load_first(residual, channels);
    }
    if (d_.activation.kind > Activation::Kind::kClip) {
#pragma GCC unroll 8
      for (int o = 0; o < kOutputs; ++o) sums[o] = apply_function(d_.activation.kind, sums[o]);
    } else {
      const Vector low = splat(d_.activation.low);
      const Vector high = splat(d_.activation.high);
#pragma GCC unroll 8
      for (int o = 0; o < kOutputs; ++o) sums[o] = at_most(at_least(sums[o], low), high);
    }
    const std::int32_t stride = d_.out_c;
    if (channels >= kLanes) {
#pragma GCC unroll 8
      for (int o = 0; o < kOutputs; ++o, y += stride) store(y, sums[o]);
    } else {
      for (int o = 0; o < kOutputs; ++o, y += stride) store_first(y, sums[o], channels);
    }
  }

  const Conv2d& d_;
  const float* residual_;  // null: none
  float* y_;
  float* picture_;
  std::int32_t width_;  // pixels of a row of it
  int tile_;            // outputs of a register tile
};

}  // namespace
}  // namespace wg

// Weights are [blocks][kernel_h * kernel_w][kBlock], the bias as many as there are lanes in all blocks.
extern "C" int wg_conv2d_depthwise_shared(const std::int32_t* descriptor, const float* x,
                                          const float* weights, const float* bias, const float* residual,
                                          float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  const wg::SharedDepthwise depthwise(d, residual, y, static_cast<float*>(scratch));
  for (int image = 0; image < d.batch; ++image) {
    for (int channel = 0; channel < d.in_c; channel += wg::kBlock) {
      depthwise.convolve(x + image * d.in_h * d.in_w * d.in_c + channel,
                         weights + channel * d.kernel_h * d.kernel_w, bias + channel, channel,
                         wg::smaller(wg::kBlock, d.in_c - channel), image);
    }
  }
  return 0;
}
