// bfloat16, the upper half of an f32: what is computed is computed in f32 and rounded to the nearest, ties to
// even. No torch.
#pragma once

#include <bit>
#include <cstdint>

#include "wasmgrad/base/half.hpp"

namespace wasmgrad::training::kernels {

struct Bf16 {
  std::uint16_t bits;
};

// Inlined into functions for every instruction set.
[[gnu::always_inline]] inline float load(float value) noexcept { return value; }
[[gnu::always_inline]] inline float load(Bf16 value) noexcept { return bf16_to_f32(value.bits); }

[[gnu::always_inline]] inline void store(float value, float& to) noexcept { to = value; }
[[gnu::always_inline]] inline void store(float value, Bf16& to) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U;
  to.bits = static_cast<std::uint16_t>(value == value ? rounded : 0x7FC0U);
}

/// Converts `count` elements; the arrays are apart.
void widen(const Bf16* from, std::int64_t count, float* to) noexcept;
void narrow(const float* from, std::int64_t count, Bf16* to) noexcept;

}  // namespace wasmgrad::training::kernels
