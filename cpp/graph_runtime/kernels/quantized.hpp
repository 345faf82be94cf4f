// What the kernels of quantized tensors share: how sums of products become results. The compiler's
// Quantization class (python/wasmgrad/compiler/passes/kernels/quantized.py) fills these structures.
#pragma once

#include "wasmgrad/graph_runtime/kernels/activation.hpp"
#include "wasmgrad/graph_runtime/kernels/dot.hpp"

namespace wg {

struct Quantization {
  enum class Result : std::int32_t { kInt32, kFloat32, kInt8, kUint8 };

  std::int32_t x_signed;
  std::int32_t weights_shifted;  // whether some column of weights has a zero point other than 0
  Result result;
  std::int32_t zero;  // of a result of 8 bits
  std::int32_t low;   // its bounds
  std::int32_t high;
  std::int32_t has_offset;
  std::int32_t has_residual;
  Activation activation;  // of a float result
};

/// What belongs to columns: five vectors of as many values, padded to whole tiles.
struct Columns {
  const std::int32_t* data;
  std::int32_t padded;

  const std::int32_t* sums() const { return data; }            // of the weights
  const std::int32_t* zeros() const { return data + padded; }  // zero points of the weights
  const std::int32_t* bias() const { return data + 2 * padded; }
  const float* scale() const { return reinterpret_cast<const float*>(data + 3 * padded); }
  const float* offset() const { return reinterpret_cast<const float*>(data + 4 * padded); }

  Columns from(std::int32_t column) const { return {data + column, padded}; }
};

/// What the sums of products with x begin with, so that they become those with x - zero and weights - zeros:
/// sum (x - z)(w - v) = sum x w - z sum w - v sum x + k z v, of which `v sum x` is left to `Finish`.
inline void start_sums(const Columns& columns, std::int32_t zero, std::int32_t k, std::int32_t* start) {
  for (std::int32_t c = 0; c < columns.padded; c += kLanes) {
    const Integers sums = load_integers(columns.sums() + c);
    const Integers zeros = load_integers(columns.zeros() + c);
    store_integers(start + c, load_integers(columns.bias() + c) - zero * sums + (k * zero) * zeros);
  }
}

/// How the input's bytes are read, and its zero point among them.
struct Reading {
  ByteOrder order;
  std::int32_t zero;
  std::uint8_t outside;  // the byte that stands for zero
};

inline Reading reading(const Quantization& q, const std::uint8_t* zero, std::uint8_t flip) {
  std::uint8_t panel = *zero ^ flip;
  const bool is_signed = (q.x_signed != 0) != (flip != 0);
  return {{q.x_signed != 0, flip}, is_signed ? static_cast<std::int8_t>(panel) : panel, *zero};
}

/// Turns sums into results of 8 bits: `clip(round(sum * scale) + zero, low, high)`, ties to even. All is
/// computed as int8; uint8 is 128 more. Here and in all that rounds to 8 bits, products are rounded before
/// they are added, with or without relaxed SIMD: the last place of a float can decide a step, and a step all
/// that follows.
class ByteResults {
 public:
  explicit ByteResults(const Quantization& q)
      : flip_(q.result == Quantization::Result::kUint8 ? 0x80 : 0),
        shift_(kRounderBits - q.zero + flip_),
        low_(q.low - flip_),
        high_(q.high - flip_) {}

  /// Real numbers, to each of which kRounder was added, as bytes.
  void store(Vector low, Vector high, std::uint8_t* y) const {
    // The lower bound comes first: sums below -2^22 are of no order any more.
    const Integers least = splat_integer(shift_ + low_);
    const Integers a = at_least(as_integers(low), least) - shift_;
    const Integers b = at_least(as_integers(high), least) - shift_;
#if defined(__wasm_simd128__)
    const v128_t words = wasm_i16x8_narrow_i32x4(v128_t(a), v128_t(b));
    v128_t bytes = wasm_i8x16_narrow_i16x8(words, words);
    bytes = wasm_i8x16_min(bytes, wasm_i8x16_splat(high_));
    wasm_v128_store64_lane(y, bytes ^ wasm_i8x16_splat(static_cast<std::int8_t>(flip_)), 0);
#else
    typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));
    const Integers top = splat_integer(high_);
    const Bytes first = __builtin_convertvector(at_most(a, top) ^ flip_, Bytes);
    const Bytes second = __builtin_convertvector(at_most(b, top) ^ flip_, Bytes);
    std::memcpy(y, &first, sizeof first);
    std::memcpy(y + kLanes, &second, sizeof second);
#endif
  }

  /// Rows of whole vectors of sums.
  template <int kRows>
  void operator()(const Totals (&totals)[kRows], const float* scale, std::uint8_t* y,
                  std::int32_t stride) const {
    const Vector low = load(scale);
    const Vector high = load(scale + kLanes);
    const Vector rounder = splat(kRounder);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      store(as_reals(totals[i].low) * low + rounder, as_reals(totals[i].high) * high + rounder,
            y + i * stride);
    }
  }

  // Added to a float below 2^22 it leaves the nearest integer in the lowest bits; larger ones keep their
  // order.
  static constexpr float kRounder = 12582912.0F;            // 1.5 * 2^23
  static constexpr std::int32_t kRounderBits = 0x4b400000;  // of that float

 private:
  std::int32_t flip_;
  std::int32_t shift_;
  std::int32_t low_;
  std::int32_t high_;
};

/// Whether results need no more than ByteResults does with sums.
inline bool stores_bytes(const Quantization& q) {
  return q.result >= Quantization::Result::kInt8 && q.weights_shifted == 0 && q.has_offset == 0;
}

/// Turns sums into results of any kind.
class Finish {
 public:
  Finish(const Quantization& q, float factor) : q_(q), factor_(factor) {}

  /// `rows` x `count` sums, rows of kDotColumns of them, become results `stride` elements apart, from element
  /// `at` of y on. row_sums: of the rows' values as they stand in the panel, where weights are shifted.
  void operator()(const std::int32_t* sums, int rows, const std::int32_t* row_sums, const Columns& columns,
                  const float* residual, void* y, std::int32_t at, std::int32_t stride, int count) const;

 private:
  void bytes(const std::int32_t* sums, int rows, const Columns& columns, std::uint8_t* y, std::int32_t stride,
             int count) const;
  void floats(const std::int32_t* sums, int rows, const Columns& columns, const float* residual, float* y,
              std::int32_t stride, int count) const;

  const Quantization& q_;
  float factor_;
};

}  // namespace wg
