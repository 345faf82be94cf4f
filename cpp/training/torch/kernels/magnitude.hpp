// How large the largest of many floats is, told by its bits: whether any is infinite or NaN, at the speed of
// memory.
#pragma once

#include <cstdint>

namespace wasmgrad::training::kernels {

/// IEEE 754 binary32: the bits of an infinity without its sign. Those of a NaN are larger.
inline constexpr std::int32_t kInfinityBits = 0x7F800000;

/// The largest of the elements' bits, each without its sign; 0 for none.
std::int32_t largest_magnitude(const float* values, std::int64_t count) noexcept;

}  // namespace wasmgrad::training::kernels
