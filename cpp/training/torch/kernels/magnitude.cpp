#include "wasmgrad/training/torch/kernels/magnitude.hpp"

#include <algorithm>
#include <cstring>

#include "wasmgrad/training/torch/kernels/cpu.hpp"

namespace wasmgrad::training::kernels {

namespace {

// Inlined into a function for each instruction set, where the compiler makes it a maximum of vectors.
[[gnu::always_inline]] inline std::int32_t largest_of(const float* values, std::int64_t count) noexcept {
  std::int32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int32_t bits = 0;
    std::memcpy(&bits, values + i, sizeof(bits));
    largest = std::max(largest, bits & 0x7FFFFFFF);
  }
  return largest;
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
