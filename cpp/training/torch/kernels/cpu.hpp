// Which vector instruction sets the running CPU has. The kernels' variants are compiled per function, chosen
// by these.
#pragma once

namespace wasmgrad::training::kernels {

/// AVX2 with FMA.
inline bool cpu_has_avx2() noexcept {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
#else
  return false;
#endif
}

/// AVX-512 with 16-bit lanes and 128/256-bit forms.
inline bool cpu_has_avx512() noexcept {
#if defined(__x86_64__)
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0;
#else
  return false;
#endif
}

}  // namespace wasmgrad::training::kernels
