// Results of 8 bits are scaled, rounded to the nearest (ties to even) and held in their bounds, as ONNX's QuantizeLinear
// does.
#include "wasmgrad/graph_runtime/kernels/quantized.hpp"

#include "wasmgrad/graph_runtime/kernels/tile.hpp"

namespace wg {
namespace {

// Added to a float below 2^22 it leaves the nearest integer in the lowest bits; larger ones keep their order.
constexpr float kRounder = 12582912.0F;           // 1.5 * 2^23
constexpr std::int32_t kRounderBits = 0x4b400000;  // of that float

Vector as_reals(Integers v) { return __builtin_convertvector(v, Vector); }

// The lowest bytes of all elements, which are within int8 or within uint8.
void store_bytes(std::uint8_t* p, Integers low, Integers high, bool is_signed, int count) {
  std::uint8_t bytes[kDotColumns];
  std::uint8_t* to = count == kDotColumns ? p : bytes;
#if defined(__wasm_simd128__)
  const v128_t words = wasm_i16x8_narrow_i32x4(v128_t(low), v128_t(high));
  const v128_t narrow =
      is_signed ? wasm_i8x16_narrow_i16x8(words, words) : wasm_u8x16_narrow_i16x8(words, words);
  wasm_v128_store64_lane(to, narrow, 0);
#else
  (void)is_signed;
  for (int i = 0; i < kLanes; ++i) {
    to[i] = static_cast<std::uint8_t>(low[i]);
    to[kLanes + i] = static_cast<std::uint8_t>(high[i]);
  }
#endif
  if (count == kDotColumns) return;
  for (int i = 0; i < count; ++i) p[i] = bytes[i];
}

void store_words(std::int32_t* y, const std::int32_t* sums, int rows, std::int32_t stride, int count) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < count; ++c) y[i * stride + c] = sums[i * kDotColumns + c];
  }
}

// Less the rows' sums times the zero points of the columns.
void shift(const std::int32_t* sums, int rows, const std::int32_t* row_sums, const Columns& columns,
           std::int32_t* shifted) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < kDotColumns; c += kLanes) {
      const Integers zeros = load_integers(columns.zeros() + c);
      const Integers sum = load_integers(sums + i * kDotColumns + c);
      store_integers(shifted + i * kDotColumns + c, sum - zeros * row_sums[i]);
    }
  }
}

}  // namespace

void Finish::operator()(const std::int32_t* sums, int rows, const std::int32_t* row_sums,
                        const Columns& columns, const float* residual, void* y, std::int32_t at,
                        std::int32_t stride, int count) const {
  std::int32_t shifted[kMostDotRows * kDotColumns];
  if (q_.weights_shifted != 0) {
    shift(sums, rows, row_sums, columns, shifted);
    sums = shifted;
  }
  switch (q_.result) {
    case Quantization::Result::kInt32:
      return store_words(static_cast<std::int32_t*>(y) + at, sums, rows, stride, count);
    case Quantization::Result::kFloat32:
      return floats(sums, rows, columns, q_.has_residual != 0 ? residual + at : nullptr,
                    static_cast<float*>(y) + at, stride, count);
    default:
      return bytes(sums, rows, columns, static_cast<std::uint8_t*>(y) + at, stride, count);
  }
}

void Finish::bytes(const std::int32_t* sums, int rows, const Columns& columns, std::uint8_t* y,
                   std::int32_t stride, int count) const {
  const std::int32_t shift = kRounderBits - q_.zero;
  const Integers least = splat_integer(shift + q_.low);
  const Integers most = splat_integer(shift + q_.high);
  const Vector scale_low = load(columns.scale());
  const Vector scale_high = load(columns.scale() + kLanes);
  const Vector offset_low = load(columns.offset());
  const Vector offset_high = load(columns.offset() + kLanes);
  const bool is_signed = q_.result == Quantization::Result::kInt8;
  const auto rounded = [&](const std::int32_t* from, Vector scale, Vector offset) {
    const Vector real = madd(as_reals(load_integers(from)), scale, offset) + splat(kRounder);
    return at_most(at_least(as_integers(real), least), most) - shift;
  };
  for (int i = 0; i < rows; ++i, sums += kDotColumns, y += stride) {
    detach(sums);
    store_bytes(y, rounded(sums, scale_low, offset_low), rounded(sums + kLanes, scale_high, offset_high),
                is_signed, count);
  }
}

void Finish::floats(const std::int32_t* sums, int rows, const Columns& columns, const float* residual,
                    float* y, std::int32_t stride, int count) const {
  const Vector low = splat(q_.activation.low);
  const Vector high = splat(q_.activation.high);
  for (int i = 0; i < rows; ++i, sums += kDotColumns) {
    for (int c = 0; c < count; c += kLanes) {
      Vector value = as_reals(load_integers(sums + c)) * (load(columns.scale() + c) * splat(factor_)) +
                     load(columns.offset() + c);
      const std::int32_t at = i * stride + c;
      if (residual != nullptr) value += load_first(residual + at, count - c);
      value = at_most(at_least(value, low), high);
      if (q_.activation.kind > Activation::Kind::kClip) value = apply_function(q_.activation.kind, value);
      store_first(y + at, value, count - c);
    }
  }
}

}  // namespace wg
