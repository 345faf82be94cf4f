// Dropout in AVX2: two groups of 8 Philox lanes, keep bits from sign masks.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#include "wasmgrad/training/torch/kernels/dropout_variants.hpp"

#define WASMGRAD_AVX2 __attribute__((target("avx2,fma")))

namespace wasmgrad::training::kernels {
namespace {

struct Product {
  __m256i high, low;
};

WASMGRAD_AVX2 inline Product multiply(__m256i a, __m256i m) {
  const __m256i even = _mm256_mul_epu32(a, m);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA),
          _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA)};
}

struct Words {
  __m256i word[4];
};

/// Lanes 8 * half .. 8 * half + 7 of a block.
WASMGRAD_AVX2 inline Words draw(std::int64_t block, int half, const DropoutKey& key) {
  const PhiloxCounter first = dropout_counter(block, key);
  __m256i c0 = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first[0]) + 8 * half),
                                _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  __m256i c1 = _mm256_set1_epi32(static_cast<int>(first[1]));
  __m256i c2 = _mm256_set1_epi32(static_cast<int>(first[2]));
  __m256i c3 = _mm256_set1_epi32(static_cast<int>(first[3]));
  const __m256i m0 = _mm256_set1_epi32(static_cast<int>(kPhiloxMultiplier0));
  const __m256i m1 = _mm256_set1_epi32(static_cast<int>(kPhiloxMultiplier1));
  auto k0 = static_cast<std::uint32_t>(key.seed);
  auto k1 = static_cast<std::uint32_t>(key.seed >> 32U);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const Product p0 = multiply(c0, m0);
    const Product p1 = multiply(c2, m1);
    c0 = _mm256_xor_si256(_mm256_xor_si256(p1.high, c1), _mm256_set1_epi32(static_cast<int>(k0)));
    c2 = _mm256_xor_si256(_mm256_xor_si256(p0.high, c3), _mm256_set1_epi32(static_cast<int>(k1)));
    c1 = p1.low;
    c3 = p0.low;
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
  return {{c0, c1, c2, c3}};
}

/// `count` is 8: scales the floats whose 32-bit mask lane is set.
WASMGRAD_AVX2 inline void store_kept(float* out, const float* in, __m256i keep, __m256 scale) {
  _mm256_storeu_ps(out, _mm256_and_ps(_mm256_mul_ps(_mm256_loadu_ps(in), scale), _mm256_castsi256_ps(keep)));
}

}  // namespace

WASMGRAD_AVX2 void dropout_forward_avx2(const float* x, float* y, std::uint8_t* mask, std::int64_t elements,
                                        std::int64_t first_block, const DropoutKey& key,
                                        const DropoutRate& rate) {
  const std::int64_t whole = rate.threshold > 0xFFFF ? 0 : elements / kDropoutBlock;
  const __m256i threshold = _mm256_set1_epi16(static_cast<short>(rate.threshold));
  const __m256 scale = _mm256_set1_ps(rate.scale);
  for (std::int64_t block = 0; block < whole; ++block) {
    for (int half = 0; half < 2; ++half) {
      const Words words = draw(first_block + block, half, key);
      for (int w = 0; w < 4; ++w) {
        const std::int64_t at = block * kDropoutBlock + 32 * w + 16 * half;
        const __m256i keep = _mm256_cmpeq_epi16(_mm256_max_epu16(words.word[w], threshold), words.word[w]);
        const __m128i low = _mm256_castsi256_si128(keep);
        const __m128i high = _mm256_extracti128_si256(keep, 1);
        const auto bits = static_cast<std::uint16_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
        std::memcpy(mask + at / 8, &bits, 2);
        store_kept(y + at, x + at, _mm256_cvtepi16_epi32(low), scale);
        store_kept(y + at + 8, x + at + 8, _mm256_cvtepi16_epi32(high), scale);
      }
    }
  }
  const std::int64_t done = whole * kDropoutBlock;
  dropout_forward_reference(x + done, y + done, mask + done / 8, elements - done, first_block + whole, key,
                            rate);
}

WASMGRAD_AVX2 void dropout_backward_avx2(const float* dy, const std::uint8_t* mask, float* dx,
                                         std::int64_t elements, const DropoutRate& rate) {
  const __m256 scale = _mm256_set1_ps(rate.scale);
  const __m256i bit = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
  std::int64_t i = 0;
  for (; i + 8 <= elements; i += 8) {
    const __m256i bits = _mm256_set1_epi32(mask[i / 8]);
    store_kept(dx + i, dy + i, _mm256_cmpeq_epi32(_mm256_and_si256(bits, bit), bit), scale);
  }
  dropout_backward_reference(dy + i, mask + i / 8, dx + i, elements - i, rate);
}

}  // namespace wasmgrad::training::kernels

#endif
