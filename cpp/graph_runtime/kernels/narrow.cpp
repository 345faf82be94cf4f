// Exact conversions to float32, a vector at a time.
#include "wasmgrad/graph_runtime/kernels/narrow.hpp"

#include <cstddef>

#include "wasmgrad/graph_runtime/kernels/simd.hpp"

namespace wg {
namespace {

typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));
typedef std::uint16_t Halves __attribute__((vector_size(2 * kLanes)));

template <typename Narrow>
inline Integers load_narrow(const std::uint8_t* p) {
  Narrow v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Integers);
}

inline Integers number(std::int32_t value) { return value - Integers{}; }

// In integer arithmetic but for subnormal numbers, which one subtraction normalizes.
inline Vector from_float16(Integers bits) {
  const Integers exponent = number(0x0f800000);
  Integers wide = (bits & number(0x7fff)) << 13;
  const Integers of = wide & exponent;
  const Integers rebias = number(112 << 23);
  wide += rebias + ((of == exponent) & rebias);
  const Vector least = as_floats(number(113 << 23));
  const Integers subnormal = as_integers(as_floats(wide + number(1 << 23)) - least);
  const Integers is_subnormal = of == number(0);
  wide = (subnormal & is_subnormal) | (wide & ~is_subnormal);
  return as_floats(wide | ((bits & number(0x8000)) << 16));
}

inline Vector load_form(Form form, const std::uint8_t* values, std::int32_t index) {
  switch (form) {
    case Form::kFloat16:
      return from_float16(load_narrow<Halves>(values + std::ptrdiff_t{2} * index));
    case Form::kBfloat16:
      return as_floats(load_narrow<Halves>(values + std::ptrdiff_t{2} * index) << 16);
    default:
      return load(reinterpret_cast<const float*>(values) + index);
  }
}

// The last of fewer than kLanes values, none of which lies outside.
inline Vector load_last(Form form, const std::uint8_t* values, std::int32_t index, std::int32_t count) {
  const std::int32_t bytes = form == Form::kFloat32 ? 4 : 2;
  std::uint8_t copy[4 * kLanes] = {};
  std::memcpy(copy, values + std::ptrdiff_t{bytes} * index, static_cast<std::size_t>(bytes) * count);
  return load_form(form, copy, 0);
}

inline std::int32_t integer_at(Form form, const std::uint8_t* values, std::int32_t index) {
  if (form == Form::kInt8) return values[index];
  return values[index >> 1] >> (4 * (index & 1)) & 15;
}

inline Vector load_integers(Form form, const std::uint8_t* values, std::int32_t index) {
  if (form == Form::kInt8) return __builtin_convertvector(load_narrow<Bytes>(values + index), Vector);
  Integers v{};
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) v[i] = integer_at(form, values, index + i);
  return __builtin_convertvector(v, Vector);
}

inline float zero_of(const Scales& scales, std::int32_t column) {
  const std::int32_t middle = scales.form == Form::kInt8 ? 128 : 8;
  return static_cast<float>(scales.zeros == nullptr ? middle : integer_at(scales.form, scales.zeros, column));
}

}  // namespace

void widen_floats(Form form, const std::uint8_t* values, std::int32_t first, std::int32_t count, float* y) {
  std::int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, load_form(form, values, first + i));
  if (i < count) store_first(y + i, load_last(form, values, first + i, count - i), count - i);
}

void widen_block(const Scales& scales, const std::uint8_t* values, std::int32_t first, std::int32_t rows,
                 std::int32_t width, float* y) {
  const float* scale = scales.scales + scales.column;
  const auto one = [&](std::int32_t i, std::int32_t column) {
    const auto value = static_cast<float>(integer_at(scales.form, values, first + i));
    y[i] = (value - zero_of(scales, scales.column + column)) * scale[column];
  };
  if (width == 1) {  // a row of one scale
    const Vector zero = splat(zero_of(scales, scales.column)), factor = splat(*scale);
    std::int32_t i = 0;
    for (; i + kLanes <= rows; i += kLanes)
      store(y + i, (load_integers(scales.form, values, first + i) - zero) * factor);
    for (; i < rows; ++i) one(i, 0);
    return;
  }
  std::int32_t w = 0;
  for (; w + kLanes <= width; w += kLanes) {
    Vector zero{};
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) zero[i] = zero_of(scales, scales.column + w + i);
    const Vector factor = load(scale + w);
    for (std::int32_t k = 0; k < rows; ++k) {
      const std::int32_t at = k * width + w;
      store(y + at, (load_integers(scales.form, values, first + at) - zero) * factor);
    }
  }
  for (; w < width; ++w) {
    for (std::int32_t k = 0; k < rows; ++k) one(k * width + w, w);
  }
}

}  // namespace wg
