// Register tiles of a dot's rows x kDotColumns over all of k, and the loops that keep panels and weights in
// the caches.
#include "wasmgrad/graph_runtime/kernels/quantized_gemm.hpp"

namespace wg {

#if defined(__wasm_relaxed_simd__)

namespace {

// Hidden from the optimizer, which may know another processor's answer.
std::int32_t dot_of(std::uint8_t byte, std::int8_t weight) {
  alignas(16) std::uint8_t bytes[16];
  alignas(16) std::int8_t weights[16];
  for (int i = 0; i < 16; ++i) {
    bytes[i] = byte;
    weights[i] = weight;
  }
  const std::uint8_t* from = bytes;
  const std::int8_t* with = weights;
  detach(from);
  detach(with);
  const v128_t sums =
      wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_v128_load(with), wasm_v128_load(from), wasm_i32x4_splat(0));
  return wasm_i32x4_extract_lane(sums, 0);
}

ByteDotKind find_byte_dot() {
  const bool is_unsigned = dot_of(255, 127) == 4 * 255 * 127 && dot_of(255, -128) == 4 * 255 * -128;
  const bool is_signed = dot_of(255, 127) == 4 * -127 && dot_of(128, -128) == 4 * 128 * 128;
  return is_unsigned ? ByteDotKind::kUnsigned : is_signed ? ByteDotKind::kSigned : ByteDotKind::kNone;
}

}  // namespace

ByteDotKind byte_dot() {
  static ByteDotKind kind = ByteDotKind::kUnknown;
  if (kind == ByteDotKind::kUnknown) kind = find_byte_dot();
  return kind;
}

#endif

namespace {

// Column groups that are multiplied with one panel before the next panel comes, so that weights stay in L2.
constexpr int kGroupsAtATime = 8;

// In memory on purpose: as arguments the pointers cost V8 registers of the loop.
template <typename Dot>
struct Operands {
  const typename Dot::Element* panel;
  const std::int8_t* weights;
  const std::int32_t* start;
  std::int32_t steps;  // of kDepth products
  std::int32_t* sums;  // if results are not bytes that ByteResults makes
  const ByteResults* results;
  const float* scale;
  std::uint8_t* y;
  std::int32_t y_stride;
};

// A function of its own that calls no other: engines keep the sums in registers only where nothing else wants
// them.
template <typename Dot, int kRows, bool kBytes>
[[gnu::noinline]] void tile(const Operands<Dot>& operands) {
  const Totals start{load_integers(operands.start), load_integers(operands.start + kLanes)};
  typename Dot::Sums sums[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) sums[i] = Dot::begin(start);
  const typename Dot::Element* panel = operands.panel;
  const std::int8_t* weights = operands.weights;
  for (const typename Dot::Element* end = panel + operands.steps * kRows * kDepth; panel != end;) {
    detach(panel);
    detach(weights);
    const typename Dot::Weights w = Dot::weights(weights);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) Dot::add(sums[i], w, panel + i * kDepth);
    panel += kRows * kDepth;
    weights += kDotWeights;
  }
  Totals totals[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) totals[i] = Dot::total(sums[i], start);
  if constexpr (kBytes) {
    (*operands.results)(totals, operands.scale, operands.y, operands.y_stride);
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      store_integers(operands.sums + i * kDotColumns, totals[i].low);
      store_integers(operands.sums + i * kDotColumns + kLanes, totals[i].high);
    }
  }
}

template <bool kBytes, typename Dot, int kRows = Dot::kRows>
void tile_of(int rows, const Operands<Dot>& operands) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return tile_of<kBytes, Dot, kRows - 1>(rows, operands);
  }
  tile<Dot, kRows, kBytes>(operands);
}

// One row of bytes to its place in a panel of `rows`; what lies behind it up to a multiple of kDepth is zero.
// Returns the sum of its values.
template <typename Dot>
std::int32_t pack(const std::uint8_t* row, std::int32_t k, ByteOrder order, int rows,
                  typename Dot::Element* panel, bool wants_sum) {
  const std::int32_t step = rows * kDepth;
  const std::int32_t whole = k / kDepth;
  typename Dot::Element* to = panel;
  for (std::int32_t i = 0; i < whole; ++i, to += step) Dot::put(row + i * kDepth, order, to);
  if (k > whole * kDepth) {
    for (int j = 0; j < kDepth; ++j) {
      to[j] = whole * kDepth + j < k ? Dot::element(row[whole * kDepth + j], order) : 0;
    }
  }
  std::int32_t sum = 0;
  if (wants_sum) {
    for (std::int32_t i = 0; i < k; ++i) sum += Dot::value(Dot::element(row[i], order), order);
  }
  return sum;
}

template <typename Dot>
class Multiplication {
 public:
  Multiplication(const Quantization& q, const Reading& reading, float factor, const QuantizedProduct& p,
                 void* scratch)
      : q_(q),
        p_(p),
        order_(reading.order),
        results_(q),
        finish_(q, factor),
        bytes_(stores_bytes(q)),
        steps_((p.rows.k + kDepth - 1) / kDepth),
        start_(static_cast<std::int32_t*>(scratch)),
        panels_(reinterpret_cast<Element*>(start_ + p.columns.padded)),
        buffer_(reinterpret_cast<std::uint8_t*>(panels_ + p.row_block * steps_ * kDepth)) {
    start_sums(p.columns, reading.zero, p.rows.k, start_);
  }

  void run() {
    for (std::int32_t row = 0; row < p_.rows.count; row += p_.row_block) {
      const std::int32_t left = p_.rows.count - row;
      block(row, left < p_.row_block ? left : p_.row_block);
    }
  }

 private:
  using Element = typename Dot::Element;

  void block(std::int32_t first, std::int32_t rows) {
    constexpr int kStep = kGroupsAtATime * kDotColumns;
    for (std::int32_t row = 0; row < rows; row += Dot::kRows) pack_panel(first, row, rows_of(row, rows));
    for (std::int32_t begin = 0; begin < p_.column_count; begin += kStep) {
      const std::int32_t end = p_.column_count - begin < kStep ? p_.column_count : begin + kStep;
      for (std::int32_t row = 0; row < rows; row += Dot::kRows) {
        panel_times(first, row, rows_of(row, rows), begin, end);
      }
    }
  }

  static int rows_of(std::int32_t row, std::int32_t rows) {
    return rows - row < Dot::kRows ? rows - row : Dot::kRows;
  }

  Element* panel(std::int32_t row) { return panels_ + row * steps_ * kDepth; }

  void pack_panel(std::int32_t first, std::int32_t row, int rows) {
    for (int i = 0; i < rows; ++i) {
      const std::uint8_t* bytes = p_.rows.row(p_.rows.source, first + row + i, buffer_);
      const std::int32_t sum =
          pack<Dot>(bytes, p_.rows.k, order_, rows, panel(row) + i * kDepth, q_.weights_shifted != 0);
      if (q_.weights_shifted != 0) row_sums()[row + i] = sum;
    }
  }

  void panel_times(std::int32_t first, std::int32_t row, int rows, std::int32_t begin, std::int32_t end) {
    alignas(64) std::int32_t sums[Dot::kRows * kDotColumns];
    const std::int32_t group = steps_ * kDotWeights;
    const std::int32_t at = p_.at + (first + row) * p_.y_stride;
    Operands<Dot> operands{panel(row),
                           p_.weights + begin / kDotColumns * group,
                           start_ + begin,
                           steps_,
                           sums,
                           &results_,
                           p_.columns.scale() + begin,
                           static_cast<std::uint8_t*>(p_.y) + at + begin,
                           p_.y_stride};
    for (std::int32_t column = begin; column < end; column += kDotColumns) {
      const int count = end - column < kDotColumns ? end - column : kDotColumns;
      if (bytes_ && count == kDotColumns) {
        tile_of<true>(rows, operands);
      } else {
        tile_of<false>(rows, operands);
        finish_(sums, rows, row_sums() + row, p_.columns.from(column), p_.residual, p_.y, at + column,
                p_.y_stride, count);
      }
      operands.weights += group;
      operands.start += kDotColumns;
      operands.scale += kDotColumns;
      operands.y += kDotColumns;
    }
  }

  std::int32_t* row_sums() { return reinterpret_cast<std::int32_t*>(buffer_ + steps_ * kDepth); }

  const Quantization& q_;
  const QuantizedProduct& p_;
  ByteOrder order_;
  ByteResults results_;
  Finish finish_;
  bool bytes_;
  std::int32_t steps_;
  std::int32_t* start_;
  Element* panels_;
  std::uint8_t* buffer_;
};

}  // namespace

void multiply(const Quantization& q, const std::uint8_t* x_zero, float factor,
              const QuantizedProduct& product, void* scratch) {
#if defined(WASMGRAD_HAS_BYTE_DOT)
  if (byte_dot() != ByteDotKind::kNone) {
    const bool flips = (byte_dot() == ByteDotKind::kSigned) != (q.x_signed != 0);
    return Multiplication<ByteDot>(q, reading(q, x_zero, flips ? 0x80 : 0), factor, product, scratch).run();
  }
#endif
  Multiplication<WordDot>(q, reading(q, x_zero, 0), factor, product, scratch).run();
}

}  // namespace wg
