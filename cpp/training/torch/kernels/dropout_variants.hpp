// The dropout variants' entry points, for the dispatcher and for their tails only.
#pragma once

#include "wasmgrad/training/data/philox.hpp"
#include "wasmgrad/training/torch/kernels/dropout.hpp"

namespace wasmgrad::training::kernels {

// Philox constants for the vector variants; the reference has them in philox.hpp.
inline constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53U;
inline constexpr std::uint32_t kPhiloxMultiplier1 = 0xCD9E8D57U;
inline constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9U;
inline constexpr std::uint32_t kPhiloxWeyl1 = 0xBB67AE85U;
inline constexpr int kPhiloxRounds = 10;

/// Counter of the first of a block's 16 lanes; lane i adds i to the first word (which cannot carry).
inline PhiloxCounter dropout_counter(std::int64_t block, const DropoutKey& key) noexcept {
  const std::uint64_t first = static_cast<std::uint64_t>(block) * 16;
  return {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(first >> 32U),
          static_cast<std::uint32_t>(key.step),
          static_cast<std::uint32_t>(key.step >> 32U) << 16U | std::uint32_t{key.site}};
}

void dropout_forward_reference(const float* x, float* y, std::uint8_t* mask, std::int64_t elements,
                               std::int64_t first_block, const DropoutKey& key, const DropoutRate& rate);
void dropout_backward_reference(const float* dy, const std::uint8_t* mask, float* dx, std::int64_t elements,
                                const DropoutRate& rate);

#if defined(__x86_64__)
void dropout_forward_avx2(const float* x, float* y, std::uint8_t* mask, std::int64_t elements,
                          std::int64_t first_block, const DropoutKey& key, const DropoutRate& rate);
void dropout_backward_avx2(const float* dy, const std::uint8_t* mask, float* dx, std::int64_t elements,
                           const DropoutRate& rate);
void dropout_forward_avx512(const float* x, float* y, std::uint8_t* mask, std::int64_t elements,
                            std::int64_t first_block, const DropoutKey& key, const DropoutRate& rate);
void dropout_backward_avx512(const float* dy, const std::uint8_t* mask, float* dx, std::int64_t elements,
                             const DropoutRate& rate);
#endif

}  // namespace wasmgrad::training::kernels
