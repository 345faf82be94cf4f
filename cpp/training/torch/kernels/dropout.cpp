// Dropout's scalar reference and the choice of a variant at run time.
#include "wasmgrad/training/torch/kernels/dropout.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "wasmgrad/training/torch/kernels/cpu.hpp"
#include "wasmgrad/training/torch/kernels/dropout_variants.hpp"

namespace wasmgrad::training::kernels {

DropoutRate dropout_rate(double probability) noexcept {
  const auto threshold = static_cast<std::uint32_t>(std::lround(probability * 65536.0));
  return {threshold, probability < 1 ? static_cast<float>(1.0 / (1.0 - probability)) : 0.0F};
}

void dropout_forward_reference(const float* x, float* y, std::uint8_t* mask, std::int64_t elements,
                               std::int64_t first_block, const DropoutKey& key, const DropoutRate& rate) {
  for (std::int64_t start = 0; start < elements; start += kDropoutBlock) {
    // Element e of a block takes half e % 2 of word e / 32 of lane (e % 32) / 2.
    std::array<PhiloxCounter, 16> lanes{};
    PhiloxCounter counter = dropout_counter(first_block + start / kDropoutBlock, key);
    for (PhiloxCounter& lane : lanes) {
      lane = philox4x32_10(counter, philox_key(key.seed));
      ++counter[0];
    }
    const auto count = static_cast<std::size_t>(std::min(kDropoutBlock, elements - start));
    std::uint8_t* bits = mask + start / 8;
    std::memset(bits, 0, kDropoutMaskBytes);
    for (std::size_t e = 0; e < count; ++e) {
      const std::uint32_t draw = lanes[(e % 32) / 2][e / 32] >> (16 * (e % 2)) & 0xFFFFU;
      const bool keep = draw >= rate.threshold;
      bits[e / 8] = static_cast<std::uint8_t>(bits[e / 8] | static_cast<unsigned>(keep) << (e % 8));
      y[start + static_cast<std::int64_t>(e)] =
          keep ? x[start + static_cast<std::int64_t>(e)] * rate.scale : 0.0F;
    }
  }
}

void dropout_backward_reference(const float* dy, const std::uint8_t* mask, float* dx, std::int64_t elements,
                                const DropoutRate& rate) {
  for (std::int64_t i = 0; i < elements; ++i)
    dx[i] = (mask[i / 8] >> (i % 8) & 1U) != 0 ? dy[i] * rate.scale : 0.0F;
}

std::span<const DropoutKernels> dropout_variants() noexcept {
  static const std::vector<DropoutKernels> variants = [] {
    std::vector<DropoutKernels> found{{"reference", dropout_forward_reference, dropout_backward_reference}};
#if defined(__x86_64__)
    if (cpu_has_avx2()) found.push_back({"avx2", dropout_forward_avx2, dropout_backward_avx2});
    if (cpu_has_avx512()) found.push_back({"avx512", dropout_forward_avx512, dropout_backward_avx512});
#endif
    return found;
  }();
  return variants;
}

const DropoutKernels& dropout_kernels() noexcept { return dropout_variants().back(); }

}  // namespace wasmgrad::training::kernels
