// Convolution of each channel by itself: channels are lanes. A register tile is some neighbouring outputs by
// some vectors.
#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

// Outputs of a tile of two vectors. Engines load all operands of a product first: with more, the sums would
// not stay in the 16 registers of a wasm engine.
constexpr int kNeighbours = kLanes == 4 ? 3 : 4;

class Depthwise {
 public:
  Depthwise(const Conv2d& d, const float* x, const float* weights, const float* bias, const float* residual,
            float* y)
      : d_(d),
        x_(x),
        weights_(weights),
        bias_(bias),
        residual_(d.has_residual != 0 ? residual : nullptr),
        y_(y),
        padded_((d.in_c + kLanes - 1) / kLanes * kLanes) {}

  void run(Range rows) const {
    // Outputs whose windows lie inside the picture from left to right.
    const int inner_begin = smaller(d_.out_w, (d_.pad_left + d_.stride_w - 1) / d_.stride_w);
    const int reach = d_.in_w + d_.pad_left - (d_.kernel_w - 1) * d_.dilation_w - 1;
    const int inner_end =
        reach < 0 ? inner_begin : larger(inner_begin, smaller(d_.out_w, reach / d_.stride_w + 1));
    for (int row = rows.begin; row < rows.end; ++row) {
      const int image = row / d_.out_h;
      const int top = row % d_.out_h * d_.stride_h - d_.pad_top;
      const Row here{x_ + (image * d_.in_h + top) * d_.in_w * d_.in_c,
                     taps_inside(top, d_.kernel_h, d_.dilation_h, d_.in_h), row * d_.out_w * d_.out_c};
      int column = 0;
      for (; column < inner_begin; ++column) outputs<1, 4>(here, column);
      for (; column + kNeighbours <= inner_end; column += kNeighbours) outputs<kNeighbours, 2>(here, column);
      for (; column < d_.out_w; ++column) outputs<1, 4>(here, column);
    }
  }

 private:
  struct Row {
    const float* x;   // the first row of the window, which may lie above the picture
    Taps taps;        // rows of the window inside the picture
    std::int32_t at;  // offset of the row in y
  };

  // All channels of kOutputs neighbours whose windows meet the picture in the same columns.
  template <int kOutputs, int kVectors>
  void outputs(const Row& row, int column) const {
    const int left = column * d_.stride_w - d_.pad_left;
    const Taps taps = taps_inside(left, d_.kernel_w, d_.dilation_w, d_.in_w);
    const float* corner =
        row.x + (row.taps.begin * d_.dilation_h * d_.in_w + left + taps.begin * d_.dilation_w) * d_.in_c;
    const float* weights = weights_ + (row.taps.begin * d_.kernel_w + taps.begin) * padded_;
    const Window window{corner, weights, row.taps.end - row.taps.begin, taps.end - taps.begin};
    const std::int32_t at = row.at + column * d_.out_c;
    int channel = 0;
    for (; channel + kVectors * kLanes <= d_.in_c; channel += kVectors * kLanes) {
      tile<kOutputs, kVectors>(window, channel, at);
    }
    for (; channel + kLanes <= d_.in_c; channel += kLanes) tile<kOutputs, 1>(window, channel, at);
    if (channel == d_.in_c) return;
    if (d_.in_c >= kLanes) {
      tile<kOutputs, 1>(window, d_.in_c - kLanes, at);  // some channels a second time
    } else {
      few(window, kOutputs, at);
    }
  }

  // The part of a window that lies inside the picture, and its weights.
  struct Window {
    const float* x;
    const float* weights;
    int rows;
    int columns;
  };

  template <int kOutputs, int kVectors>
  void tile(const Window& window, int channel, std::int32_t at) const {
    Vector sums[kOutputs][kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vector bias = load(bias_ + channel + v * kLanes);
#pragma GCC unroll 4
      for (int o = 0; o < kOutputs; ++o) sums[o][v] = bias;
    }
    const std::int32_t x_step = d_.dilation_w * d_.in_c;
    const std::int32_t output_step = d_.stride_w * d_.in_c;
    for (int i = 0; i < window.rows; ++i) {
      const float* x = window.x + i * d_.dilation_h * d_.in_w * d_.in_c + channel;
      const float* weights = window.weights + i * d_.kernel_w * padded_ + channel;
      for (int j = 0; j < window.columns; ++j) {
        detach(x);
        detach(weights);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const Vector w = load(weights + v * kLanes);
#pragma GCC unroll 4
          for (int o = 0; o < kOutputs; ++o) {
            const float* neighbour = x + o * output_step;
            sums[o][v] = madd(load(neighbour + v * kLanes), w, sums[o][v]);
          }
        }
        x += x_step;
        weights += padded_;
      }
    }
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o) {
      const std::int32_t here = at + o * d_.out_c + channel;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        Vector sum = sums[o][v];
        if (residual_ != nullptr) sum += load(residual_ + here + v * kLanes);
        store(y_ + here + v * kLanes, apply(d_.activation, sum));
      }
    }
  }

  // Fewer channels than a vector has.
  void few(const Window& window, int outputs, std::int32_t at) const {
    for (int o = 0; o < outputs; ++o) {
      Vector sum = load(bias_);
      for (int i = 0; i < window.rows; ++i) {
        for (int j = 0; j < window.columns; ++j) {
          const float* x =
              window.x + (i * d_.dilation_h * d_.in_w + j * d_.dilation_w + o * d_.stride_w) * d_.in_c;
          sum = madd(load_first(x, d_.in_c), load(window.weights + (i * d_.kernel_w + j) * padded_), sum);
        }
      }
      const std::int32_t here = at + o * d_.out_c;
      if (residual_ != nullptr) sum += load_first(residual_ + here, d_.in_c);
      store_first(y_ + here, apply(d_.activation, sum), d_.in_c);
    }
  }

  const Conv2d& d_;
  const float* x_;
  const float* weights_;   // [kernel_h * kernel_w][padded]
  const float* bias_;      // [padded], at least
  const float* residual_;  // null: none
  float* y_;
  std::int32_t padded_;
};

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_depthwise(const std::int32_t* descriptor, const float* x, const float* weights,
                                   const float* bias, const float* residual, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  const wg::Depthwise depthwise(d, x, weights, bias, residual, y);
  const std::int64_t cost = std::int64_t{2} * d.out_w * d.out_c * d.kernel_h * d.kernel_w;
  wg::in_parallel(d.batch * d.out_h, cost, scratch,
                  [&](wg::Range rows, void* /*scratch*/) { depthwise.run(rows); });
  return 0;
}
