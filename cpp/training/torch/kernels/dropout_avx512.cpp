// Dropout in AVX-512: 16 Philox lanes at once, keep bits straight from the comparison's mask register.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

#include "wasmgrad/training/torch/kernels/dropout_variants.hpp"

#define WASMGRAD_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

namespace wasmgrad::training::kernels {
namespace {

struct Product {
  __m512i high, low;
};

WASMGRAD_AVX512 inline Product multiply(__m512i a, __m512i m) {
  const __m512i even = _mm512_mul_epu32(a, m);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), m);
  return {_mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xAAAA, odd),
          _mm512_mask_mov_epi32(even, 0xAAAA, _mm512_slli_epi64(odd, 32))};
}

struct Words {
  __m512i word[4];
};

WASMGRAD_AVX512 inline Words draw(std::int64_t block, const DropoutKey& key) {
  const PhiloxCounter first = dropout_counter(block, key);
  __m512i c0 = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first[0])),
                                _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  __m512i c1 = _mm512_set1_epi32(static_cast<int>(first[1]));
  __m512i c2 = _mm512_set1_epi32(static_cast<int>(first[2]));
  __m512i c3 = _mm512_set1_epi32(static_cast<int>(first[3]));
  const __m512i m0 = _mm512_set1_epi32(static_cast<int>(kPhiloxMultiplier0));
  const __m512i m1 = _mm512_set1_epi32(static_cast<int>(kPhiloxMultiplier1));
  auto k0 = static_cast<std::uint32_t>(key.seed);
  auto k1 = static_cast<std::uint32_t>(key.seed >> 32U);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const Product p0 = multiply(c0, m0);
    const Product p1 = multiply(c2, m1);
    c0 = _mm512_ternarylogic_epi32(p1.high, c1, _mm512_set1_epi32(static_cast<int>(k0)), 0x96);  // a ^ b ^ c
    c2 = _mm512_ternarylogic_epi32(p0.high, c3, _mm512_set1_epi32(static_cast<int>(k1)), 0x96);
    c1 = p1.low;
    c3 = p0.low;
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
  return {{c0, c1, c2, c3}};
}

}  // namespace

WASMGRAD_AVX512 void dropout_forward_avx512(const float* x, float* y, std::uint8_t* mask,
                                            std::int64_t elements, std::int64_t first_block,
                                            const DropoutKey& key, const DropoutRate& rate) {
  const std::int64_t whole = rate.threshold > 0xFFFF ? 0 : elements / kDropoutBlock;
  const __m512i threshold = _mm512_set1_epi16(static_cast<short>(rate.threshold));
  const __m512 scale = _mm512_set1_ps(rate.scale);
  for (std::int64_t block = 0; block < whole; ++block) {
    const Words words = draw(first_block + block, key);
    const float* in = x + block * kDropoutBlock;
    float* out = y + block * kDropoutBlock;
    std::uint8_t* bits = mask + block * kDropoutMaskBytes;
    for (int w = 0; w < 4; ++w) {
      const __mmask32 keep = _mm512_cmpge_epu16_mask(words.word[w], threshold);
      std::memcpy(bits + 4 * w, &keep, 4);
      _mm512_storeu_ps(out + 32 * w, _mm512_maskz_mul_ps(static_cast<__mmask16>(keep),
                                                         _mm512_loadu_ps(in + 32 * w), scale));
      _mm512_storeu_ps(out + 32 * w + 16, _mm512_maskz_mul_ps(static_cast<__mmask16>(keep >> 16U),
                                                              _mm512_loadu_ps(in + 32 * w + 16), scale));
    }
  }
  const std::int64_t done = whole * kDropoutBlock;
  dropout_forward_reference(x + done, y + done, mask + done / 8, elements - done, first_block + whole, key,
                            rate);
}

WASMGRAD_AVX512 void dropout_backward_avx512(const float* dy, const std::uint8_t* mask, float* dx,
                                             std::int64_t elements, const DropoutRate& rate) {
  const __m512 scale = _mm512_set1_ps(rate.scale);
  std::int64_t i = 0;
  for (; i + 16 <= elements; i += 16) {
    __mmask16 keep = 0;
    std::memcpy(&keep, mask + i / 8, 2);
    _mm512_storeu_ps(dx + i, _mm512_maskz_mul_ps(keep, _mm512_loadu_ps(dy + i), scale));
  }
  dropout_backward_reference(dy + i, mask + i / 8, dx + i, elements - i, rate);
}

}  // namespace wasmgrad::training::kernels

#endif
