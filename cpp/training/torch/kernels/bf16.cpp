#include "wasmgrad/training/torch/kernels/bf16.hpp"

#include "wasmgrad/training/torch/kernels/cpu.hpp"

namespace wasmgrad::training::kernels {
namespace {

template <class From, class To>
[[gnu::always_inline]] inline void convert(const From* __restrict from, std::int64_t count,
                                           To* __restrict to) noexcept {
  for (std::int64_t i = 0; i < count; ++i) store(load(from[i]), to[i]);
}

#if defined(__x86_64__)
template <class From, class To>
__attribute__((target("avx2,fma"))) void convert_avx2(const From* from, std::int64_t count, To* to) noexcept {
  convert(from, count, to);
}
#endif

template <class From, class To>
void convert_here(const From* from, std::int64_t count, To* to) noexcept {
#if defined(__x86_64__)
  if (cpu_has_avx2()) return convert_avx2(from, count, to);
#endif
  convert(from, count, to);
}

}  // namespace

void widen(const Bf16* from, std::int64_t count, float* to) noexcept { convert_here(from, count, to); }
void narrow(const float* from, std::int64_t count, Bf16* to) noexcept { convert_here(from, count, to); }

}  // namespace wasmgrad::training::kernels
