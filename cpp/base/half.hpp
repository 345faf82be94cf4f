// The two 16-bit floating types, by their bits: IEEE 754's binary16, and bfloat16, the upper half of an f32.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace wasmgrad {

/// Exact: every value of the type is one of f32.
inline float f16_to_f32(std::uint16_t bits) noexcept {
  const bool negative = (bits & 0x8000U) != 0;
  const int exponent = (bits >> 10U) & 0x1F;
  const int mantissa = bits & 0x3FF;
  float magnitude = 0;
  if (exponent == 0x1F) {
    magnitude =
        mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa | 0x400), exponent - 25);
  }
  return negative ? -magnitude : magnitude;
}

constexpr float bf16_to_f32(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(std::uint32_t{bits} << 16U);
}

}  // namespace wasmgrad
