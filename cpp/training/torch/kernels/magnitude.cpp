#include "wasmgrad/training/torch/kernels/magnitude.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "wasmgrad/training/torch/kernels/cpu.hpp"

namespace wasmgrad::training::kernels {

namespace {

constexpr std::int64_t kLanes = 32;

[[gnu::always_inline]] inline std::int32_t magnitude_of(const float* value) noexcept {
  std::int32_t bits = 0;
  std::memcpy(&bits, value, sizeof(bits));
  return bits & 0x7FFFFFFF;
}

// Inlined into a function for each instruction set, where the compiler makes the lanes a few vectors: one
// alone would wait for itself.
[[gnu::always_inline]] inline std::int32_t largest_of(const float* values, std::int64_t count) noexcept {
  std::array<std::int32_t, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = std::max(lanes[lane], magnitude_of(values + i + lane));
  for (; i < count; ++i) lanes[0] = std::max(lanes[0], magnitude_of(values + i));
  return *std::ranges::max_element(lanes);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) std::int32_t largest_avx2(const float* values, std::int64_t count) noexcept {
  return largest_of(values, count);
}
#endif

}  // namespace

std::int32_t largest_magnitude(const float* values, std::int64_t count) noexcept {
#if defined(__x86_64__)
  if (cpu_has_avx2()) return largest_avx2(values, count);
#endif
  return largest_of(values, count);
}

}  // namespace wasmgrad::training::kernels
