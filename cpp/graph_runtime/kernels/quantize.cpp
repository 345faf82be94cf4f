// Floats to 8 bits, and the sum of two quantized tensors, each as the standard's QuantizeLinear rounds.
#include "wasmgrad/graph_runtime/kernels/quantized.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

struct Quantize {
  std::int32_t count;
  std::int32_t is_signed;
  std::int32_t low;
  std::int32_t high;
};

struct AddQuantized {
  std::int32_t count;
  std::int32_t a_signed;
  std::int32_t b_signed;
  std::int32_t result_signed;
  std::int32_t zero;
  std::int32_t low;
  std::int32_t high;
  float a_scale;
  float b_scale;
  float offset;
};

ByteResults results_of(std::int32_t is_signed, std::int32_t zero, std::int32_t low, std::int32_t high) {
  Quantization q{};
  q.result = is_signed != 0 ? Quantization::Result::kInt8 : Quantization::Result::kUint8;
  q.zero = zero;
  q.low = low;
  q.high = high;
  return ByteResults(q);
}

std::int32_t value_of(std::uint8_t byte, std::int32_t is_signed) {
  return is_signed != 0 ? static_cast<std::int8_t>(byte) : byte;
}

// Bytes of a tensor that are not less than kDotColumns any more.
template <typename Function>
void for_each_group(std::int32_t count, void* scratch, const Function& function) {
  constexpr std::int64_t kCost = 30 * kDotColumns;
  const int groups = (count - 1) / kDotColumns + 1;
  in_parallel(groups, kCost, scratch, [&](Range part, void* /*scratch*/) {
    const std::int32_t end = part.end == groups ? count : part.end * kDotColumns;
    std::int32_t i = part.begin * kDotColumns;
    for (; i + kDotColumns <= end; i += kDotColumns) function(i, kDotColumns);
    if (i < end) function(i, end - i);
  });
}

Totals reals(const std::uint8_t* p, std::int32_t is_signed) {
#if defined(__wasm_simd128__)
  const v128_t words = is_signed != 0 ? wasm_i16x8_load8x8(p) : wasm_u16x8_load8x8(p);
  return {Integers(wasm_i32x4_extend_low_i16x8(words)), Integers(wasm_i32x4_extend_high_i16x8(words))};
#else
  typedef std::uint8_t Unsigned __attribute__((vector_size(kLanes)));
  typedef std::int8_t Signed __attribute__((vector_size(kLanes)));
  Unsigned low, high;
  std::memcpy(&low, p, sizeof low);
  std::memcpy(&high, p + kLanes, sizeof high);
  if (is_signed != 0) {
    return {__builtin_convertvector(Signed(low), Integers), __builtin_convertvector(Signed(high), Integers)};
  }
  return {__builtin_convertvector(low, Integers), __builtin_convertvector(high, Integers)};
#endif
}

}  // namespace
}  // namespace wg

extern "C" int wg_quantize(const std::int32_t* descriptor, const float* x, const float* scale,
                           const std::uint8_t* zero, std::uint8_t* y, void* scratch) {
  using wg::kLanes;
  using wg::Vector;
  const auto& d = *reinterpret_cast<const wg::Quantize*>(descriptor);
  const std::int32_t zero_point = wg::value_of(*zero, d.is_signed);
  const wg::ByteResults results = wg::results_of(d.is_signed, zero_point, d.low, d.high);
  const Vector divisor = wg::splat(*scale);
  const Vector rounder = wg::splat(wg::ByteResults::kRounder);
  const Vector of_nan = rounder - static_cast<float>(zero_point);  // becomes 0
  const auto shifted = [&](Vector value) {
    const Vector steps = value / divisor;
    return steps == steps ? steps + rounder : of_nan;
  };
  wg::for_each_group(d.count, scratch, [&](std::int32_t i, int count) {
    if (count == wg::kDotColumns) {
      results.store(shifted(wg::load(x + i)), shifted(wg::load(x + i + kLanes)), y + i);
      return;
    }
    std::uint8_t bytes[wg::kDotColumns];
    results.store(shifted(wg::load_first(x + i, count)),
                  shifted(wg::load_first(x + i + kLanes, count - kLanes)), bytes);
    for (int j = 0; j < count; ++j) y[i + j] = bytes[j];
  });
  return 0;
}

extern "C" int wg_add_quantized(const std::int32_t* descriptor, const std::uint8_t* a, const std::uint8_t* b,
                                std::uint8_t* y, void* scratch) {
  using wg::as_reals;
  using wg::kLanes;
  using wg::Vector;
  const auto& d = *reinterpret_cast<const wg::AddQuantized*>(descriptor);
  const wg::ByteResults results = wg::results_of(d.result_signed, d.zero, d.low, d.high);
  const Vector a_scale = wg::splat(d.a_scale);
  const Vector b_scale = wg::splat(d.b_scale);
  const Vector offset = wg::splat(d.offset);
  const Vector rounder = wg::splat(wg::ByteResults::kRounder);
  wg::for_each_group(d.count, scratch, [&](std::int32_t i, int count) {
    std::uint8_t first[wg::kDotColumns];
    std::uint8_t second[wg::kDotColumns];
    std::uint8_t bytes[wg::kDotColumns];
    const bool whole = count == wg::kDotColumns;
    if (!whole) {
      for (int j = 0; j < wg::kDotColumns; ++j) {
        first[j] = j < count ? a[i + j] : 0;
        second[j] = j < count ? b[i + j] : 0;
      }
    }
    const wg::Totals x = wg::reals(whole ? a + i : first, d.a_signed);
    const wg::Totals z = wg::reals(whole ? b + i : second, d.b_signed);
    const Vector low = as_reals(z.low) * b_scale + (as_reals(x.low) * a_scale + offset);
    const Vector high = as_reals(z.high) * b_scale + (as_reals(x.high) * a_scale + offset);
    results.store(low + rounder, high + rounder, whole ? y + i : bytes);
    if (!whole) {
      for (int j = 0; j < count; ++j) y[i + j] = bytes[j];
    }
  });
  return 0;
}
