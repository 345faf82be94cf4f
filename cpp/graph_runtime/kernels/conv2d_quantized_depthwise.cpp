// Convolution of each channel of 8-bit pictures by itself. Four rows of the picture are interleaved, so that
// one dot takes four taps that stand below each other; several rows of the output share them where windows
// are low.
#include "wasmgrad/graph_runtime/kernels/conv2d_quantized.hpp"

namespace wg {
namespace {

constexpr int kBlock = kLanes == 16 ? 32 : 16;  // channels at a time
constexpr int kGroups = kBlock / kDotColumns;

Bytes16 load_bytes(const std::uint8_t* p) {
  Bytes16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Bytes of four rows as those of 16 quads.
void interleave(const Bytes16 (&rows)[kDepth], Bytes16 (&quads)[4]) {
  const Bytes16 a =
      __builtin_shufflevector(rows[0], rows[1], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const Bytes16 b =
      __builtin_shufflevector(rows[2], rows[3], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const Bytes16 c =
      __builtin_shufflevector(rows[0], rows[1], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const Bytes16 e =
      __builtin_shufflevector(rows[2], rows[3], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  quads[0] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
  quads[1] = __builtin_shufflevector(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
  quads[2] = __builtin_shufflevector(c, e, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
  quads[3] = __builtin_shufflevector(c, e, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
}

template <typename Dot>
struct Operands {
  const typename Dot::Element* quads;
  const std::int8_t* weights;
  const std::int32_t* start;
  std::int32_t* sums;  // if results are not bytes that ByteResults makes
  const float* scale;
  std::uint8_t* y;
};

template <typename Dot>
class Depthwise {
 public:
  Depthwise(const Conv2dQuantized& all, const Reading& reading, float factor, const std::uint8_t* x,
            const std::int8_t* weights, const Columns& columns, const float* residual, void* y, void* scratch)
      : d_(all.conv),
        all_(all),
        reading_(reading),
        results_(all.quantization),
        finish_(all.quantization, factor),
        bytes_(stores_bytes(all.quantization)),
        x_(x),
        weights_(weights),
        columns_(columns),
        residual_(residual),
        y_(y),
        start_(static_cast<std::int32_t*>(scratch)),
        quads_(reinterpret_cast<Element*>(start_ + columns.padded)),
        width_((d_.out_w - 1) * d_.stride_w + (d_.kernel_w - 1) * d_.dilation_w + 1) {
    start_sums(columns, reading.zero, 1, start_);
  }

  void run() {
    const std::int32_t block_weights = all_.rows * all_.quads * d_.kernel_w * kBlock * kDepth;
    for (int image = 0; image < d_.batch; ++image) {
      for (int channel = 0; channel < d_.in_c; channel += kBlock) {
        const std::int8_t* weights = weights_ + channel / kBlock * block_weights;
        for (int row = 0; row < d_.out_h; row += all_.rows) {
          const int top = row * d_.stride_h - d_.pad_top;
          for (int quad = 0; quad < all_.quads; ++quad) build(image, channel, top, quad);
          const int rows = smaller(all_.rows, d_.out_h - row);
          for (int i = 0; i < rows; ++i) {
            output_row((image * d_.out_h + row + i) * d_.out_w, channel,
                       weights + i * block_weights / all_.rows);
          }
        }
      }
    }
  }

 private:
  using Element = typename Dot::Element;
  static constexpr int kNeighbours = Dot::kRows > 4 ? 4 : Dot::kRows;  // outputs of a tile

  // The rows of one quad, of all columns that windows touch.
  void build(int image, int channel, int top, int quad) {
    const std::int32_t column_size = kBlock * kDepth;
    Element* to = quads_ + quad * width_ * column_size;
    const int begin = smaller(d_.pad_left, width_);
    const int end = smaller(d_.pad_left + d_.in_w, width_);
    for (int column = 0; column < begin; ++column) put_outside(to + column * column_size);
    for (int column = end; column < width_; ++column) put_outside(to + column * column_size);
    for (int part = 0; part < kBlock; part += 16) {
      const int channels = smaller(16, d_.in_c - channel - part);
      Element* first = to + begin * column_size + part * kDepth;
      if (channels >= 16) {
        interleave_columns<true>(row_at(image, channel + part, top, quad), end - begin, 16, first);
      } else if (channels > 0) {
        interleave_columns<false>(row_at(image, channel + part, top, quad), end - begin, channels, first);
      }
    }
  }

  // Where kDepth rows of the picture begin; those that are not there are null.
  struct FourRows {
    const std::uint8_t* at[kDepth];
  };

  FourRows row_at(int image, int channel, int top, int quad) const {
    FourRows rows;
    for (int i = 0; i < kDepth; ++i) {
      const int tap = quad * kDepth + i;
      const int y = top + tap * d_.dilation_h;
      const bool inside = y >= 0 && y < d_.in_h && tap < taps();
      rows.at[i] = inside ? x_ + (image * d_.in_h + y) * d_.in_w * d_.in_c + channel : nullptr;
    }
    return rows;
  }

  // `channels`, up to 16 of them, of `columns` pixels of four rows.
  template <bool kWhole>
  void interleave_columns(const FourRows& rows, int columns, int channels, Element* to) const {
    std::uint8_t outside[16];
    fill_bytes(outside, reading_.outside, 16);
    const std::uint8_t* from[kDepth];
    std::int32_t steps[kDepth];
    for (int i = 0; i < kDepth; ++i) {
      from[i] = rows.at[i] != nullptr ? rows.at[i] : outside;
      steps[i] = rows.at[i] != nullptr ? d_.in_c : 0;
    }
    for (int column = 0; column < columns; ++column, to += kBlock * kDepth) {
      Bytes16 four[kDepth];
#pragma GCC unroll 4
      for (int i = 0; i < kDepth; ++i) {
        four[i] = kWhole ? load_bytes(from[i]) : first_bytes(from[i], channels);
        from[i] += steps[i];
      }
      put_quads(four, to);
    }
  }

  void put_outside(Element* to) const {
    const Bytes16 same = reading_.outside - Bytes16{};
    const Bytes16 four[kDepth] = {same, same, same, same};
    for (int part = 0; part < kBlock; part += 16) put_quads(four, to + part * kDepth);
  }

  void put_quads(const Bytes16 (&four)[kDepth], Element* to) const {
    Bytes16 quads[4];
    interleave(four, quads);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) Dot::put(quads[i], reading_.order, to + i * 4 * kDepth);
  }

  // Rows of the picture below each other that outputs of a quad's rows see; more are for nothing.
  int taps() const { return (all_.rows - 1) * d_.stride_h + d_.kernel_h; }

  static Bytes16 first_bytes(const std::uint8_t* p, int count) {
    std::uint8_t bytes[16] = {};
    for (int i = 0; i < count; ++i) bytes[i] = p[i];
    return load_bytes(bytes);
  }

  void output_row(std::int32_t pixel, int channel, const std::int8_t* weights) {
    int column = 0;
    for (; column + kNeighbours <= d_.out_w; column += kNeighbours) {
      outputs<kNeighbours>(pixel + column, column, channel, weights);
    }
    for (; column < d_.out_w; ++column) outputs<1>(pixel + column, column, channel, weights);
  }

  template <int kOutputs>
  void outputs(std::int32_t pixel, int column, int channel, const std::int8_t* weights) {
    alignas(64) std::int32_t sums[kOutputs * kDotColumns];
    const std::int32_t at = pixel * d_.out_c + channel;
    Operands<Dot> operands{quads_ + column * d_.stride_w * kBlock * kDepth,
                           weights,
                           start_ + channel,
                           sums,
                           columns_.scale() + channel,
                           static_cast<std::uint8_t*>(y_) + at};
    for (int group = 0; group < kGroups && channel < d_.in_c; ++group, channel += kDotColumns) {
      const int count = smaller(kDotColumns, d_.in_c - channel);
      if (bytes_ && count == kDotColumns) {
        tile<kOutputs, true>(operands);
      } else {
        tile<kOutputs, false>(operands);
        finish_(sums, kOutputs, nullptr, columns_.from(channel), residual_, y_, at + group * kDotColumns,
                d_.out_c, count);
      }
      operands.quads += kDotColumns * kDepth;
      operands.weights += kDotWeights;
      operands.start += kDotColumns;
      operands.scale += kDotColumns;
      operands.y += kDotColumns;
    }
  }

  template <int kOutputs, bool kBytes>
  [[gnu::noinline]] void tile(const Operands<Dot>& operands) const {
    const Totals start{load_integers(operands.start), load_integers(operands.start + kLanes)};
    typename Dot::Sums sums[kOutputs];
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) sums[o] = Dot::begin(start);
    const std::int32_t step = d_.dilation_w * kBlock * kDepth;
    const std::int32_t neighbour = d_.stride_w * kBlock * kDepth;
    const std::int8_t* weights = operands.weights;
    for (int quad = 0; quad < all_.quads; ++quad) {
      const Element* x = operands.quads + quad * width_ * kBlock * kDepth;
      for (int i = 0; i < d_.kernel_w; ++i) {
        detach(x);
        detach(weights);
        const typename Dot::Weights w = Dot::weights(weights);
#pragma GCC unroll 8
        for (int o = 0; o < kOutputs; ++o) Dot::add_each(sums[o], w, x + o * neighbour);
        x += step;
        weights += kBlock * kDepth;
      }
    }
    Totals totals[kOutputs];
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) totals[o] = Dot::total(sums[o], start);
    if constexpr (kBytes) {
      results_(totals, operands.scale, operands.y, d_.out_c);
    } else {
#pragma GCC unroll 8
      for (int o = 0; o < kOutputs; ++o) {
        store_integers(operands.sums + o * kDotColumns, totals[o].low);
        store_integers(operands.sums + o * kDotColumns + kLanes, totals[o].high);
      }
    }
  }

  const Conv2d& d_;
  const Conv2dQuantized& all_;
  Reading reading_;
  ByteResults results_;
  Finish finish_;
  bool bytes_;
  const std::uint8_t* x_;
  const std::int8_t* weights_;
  Columns columns_;
  const float* residual_;
  void* y_;
  std::int32_t* start_;
  Element* quads_;  // [quads][width][kBlock][kDepth]
  std::int32_t width_;
};

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_quantized_depthwise(const std::int32_t* descriptor, const std::uint8_t* x,
                                             const std::uint8_t* x_zero, const float* factor,
                                             const std::int8_t* weights, const std::int32_t* columns,
                                             const float* residual, void* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2dQuantized*>(descriptor);
  const std::int32_t padded = (d.conv.in_c + wg::kBlock - 1) / wg::kBlock * wg::kBlock;
  const wg::Columns of_channels{columns, padded};
#if defined(WASMGRAD_HAS_BYTE_DOT)
  if (wg::byte_dot() != wg::ByteDotKind::kNone) {
    const bool flips = (wg::byte_dot() == wg::ByteDotKind::kSigned) != (d.quantization.x_signed != 0);
    wg::Depthwise<wg::ByteDot>(d, wg::reading(d.quantization, x_zero, flips ? 0x80 : 0), *factor, x, weights,
                               of_channels, residual, y, scratch)
        .run();
    return 0;
  }
#endif
  wg::Depthwise<wg::WordDot>(d, wg::reading(d.quantization, x_zero, 0), *factor, x, weights, of_channels,
                             residual, y, scratch)
      .run();
  return 0;
}
