// Sums of products of 8-bit integers: four of a column at a time, exact in int32.
//
// Weights are int8, [columns / kColumns][k / 4][kColumns][4], padded with zeros. A panel holds the rows that
// they are multiplied with: [k / 4][rows][4], of the type that a dot wants.
#pragma once

#include "wasmgrad/graph_runtime/kernels/simd.hpp"

#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#endif

namespace wg {

inline constexpr int kMostDotRows = 6;  // of any tile
inline constexpr int kDepth = 4;        // products that one element of a vector sums
inline constexpr int kDotColumns = 2 * kLanes;
inline constexpr int kDotWeights = kDotColumns * kDepth;  // bytes of weights of kDepth products

/// The sums of one row in kDotColumns columns.
struct Totals {
  Integers low;
  Integers high;
};

inline Integers load_integers(const std::int32_t* p) {
  Integers v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void store_integers(std::int32_t* p, Integers v) { std::memcpy(p, &v, sizeof v); }

inline Integers splat_integer(std::int32_t value) { return value - Integers{}; }

/// The larger and the smaller of each two.
inline Integers at_least(Integers v, Integers low) {
#if defined(__wasm_simd128__)
  return Integers(wasm_i32x4_max(v128_t(v), v128_t(low)));
#else
  return v < low ? low : v;
#endif
}
inline Integers at_most(Integers v, Integers high) {
#if defined(__wasm_simd128__)
  return Integers(wasm_i32x4_min(v128_t(v), v128_t(high)));
#else
  return v > high ? high : v;
#endif
}

inline Vector as_reals(Integers v) { return __builtin_convertvector(v, Vector); }

typedef std::uint8_t Bytes16 __attribute__((vector_size(16)));
typedef std::int8_t Signed16 __attribute__((vector_size(16)));
typedef std::int16_t Words16 __attribute__((vector_size(32)));

/// How a panel's values come from bytes: unsigned, or signed when `flip` is 0x80 less.
struct ByteOrder {
  bool is_signed;     // what a byte of the input means
  std::uint8_t flip;  // is xored with it for the panel
};

#if defined(__wasm_relaxed_simd__) || defined(__AVX512VNNI__)
#define WASMGRAD_HAS_BYTE_DOT

/// The engine's or the processor's dot product of bytes with weights. An engine's is exact for unsigned or
/// for signed bytes, or for neither, depending on the processor: `byte_dot` tells.
struct ByteDot {
  static constexpr int kRows = 6;  // of a tile: 12 sums and what a turn loads fill 16 registers
  using Element = std::uint8_t;
#if defined(__wasm_relaxed_simd__)
  using Quads = v128_t;
  static Quads load_quads(const void* p) { return wasm_v128_load(p); }
  static Quads splat(const Element* x) { return wasm_v128_load32_splat(x); }
  static Integers dot(Quads weights, Quads values, Integers sums) {
    return Integers(wasm_i32x4_relaxed_dot_i8x16_i7x16_add(weights, values, v128_t(sums)));
  }
#else
  using Quads = __m512i;
  static Quads load_quads(const void* p) { return _mm512_loadu_si512(p); }
  static Quads splat(const Element* x) {
    int four;
    std::memcpy(&four, x, sizeof four);
    return _mm512_set1_epi32(four);
  }
  static Integers dot(Quads weights, Quads values, Integers sums) {
    return Integers(_mm512_dpbusd_epi32(__m512i(sums), values, weights));
  }
#endif
  struct Weights {
    Quads low, high;
  };
  using Sums = Totals;

  static Weights weights(const std::int8_t* p) { return {load_quads(p), load_quads(p + kLanes * kDepth)}; }

  static void add(Sums& sums, const Weights& w, const Element* x) {
    const Quads value = splat(x);
    sums = {dot(w.low, value, sums.low), dot(w.high, value, sums.high)};
  }
  /// Each column with values of its own, [kDotColumns][kDepth].
  static void add_each(Sums& sums, const Weights& w, const Element* x) {
    sums = {dot(w.low, load_quads(x), sums.low), dot(w.high, load_quads(x + kLanes * kDepth), sums.high)};
  }
  static Sums begin(const Totals& start) { return start; }
  static Totals total(const Sums& sums, const Totals& /*start*/) { return sums; }
  static Element element(std::uint8_t byte, ByteOrder order) { return byte ^ order.flip; }
  static std::int32_t value(Element element, ByteOrder order) {
    return order.is_signed != (order.flip != 0) ? static_cast<std::int8_t>(element) : element;
  }
  /// kDepth bytes as elements.
  static void put(const std::uint8_t* bytes, ByteOrder order, Element* to) {
    std::uint32_t four;
    std::memcpy(&four, bytes, sizeof four);
    four ^= order.flip * 0x01010101U;
    std::memcpy(to, &four, sizeof four);
  }
  static void put(Bytes16 bytes, ByteOrder order, Element* to) {
    bytes ^= order.flip;
    std::memcpy(to, &bytes, sizeof bytes);
  }
};

/// What the engine's dot of bytes and weights is exact for.
enum class ByteDotKind : std::int32_t { kUnknown, kNone, kUnsigned, kSigned };

#if defined(__wasm_relaxed_simd__)
ByteDotKind byte_dot();
#else
constexpr ByteDotKind byte_dot() { return ByteDotKind::kUnsigned; }
#endif

#endif

#if defined(__wasm_simd128__) || defined(__SSE2__)

/// Products of 16-bit integers added in pairs: exact everywhere.
struct WordDot {
  static constexpr int kRows = kLanes == 16 ? 4 : 2;  // of a tile: four sums each
  using Element = std::int16_t;
#if defined(__wasm_simd128__)
  using Words = v128_t;
  static Words widen(const std::int8_t* p) { return wasm_i16x8_load8x8(p); }
  static Words load_words(const Element* p) { return wasm_v128_load(p); }
  static Words splat(const Element* p) { return wasm_v128_load64_splat(p); }
  static Integers pairs(Words a, Words b) { return Integers(wasm_i32x4_dot_i16x8(a, b)); }
#elif defined(__AVX512BW__)
  using Words = __m512i;
  static Words widen(const std::int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Words load_words(const Element* p) { return _mm512_loadu_si512(p); }
  static Words splat(const Element* p) {
    long long four;
    std::memcpy(&four, p, sizeof four);
    return _mm512_set1_epi64(four);
  }
  static Integers pairs(Words a, Words b) { return Integers(_mm512_madd_epi16(a, b)); }
#elif defined(__AVX2__)
  using Words = __m256i;
  static Words widen(const std::int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Words load_words(const Element* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Words splat(const Element* p) {
    long long four;
    std::memcpy(&four, p, sizeof four);
    return _mm256_set1_epi64x(four);
  }
  static Integers pairs(Words a, Words b) { return Integers(_mm256_madd_epi16(a, b)); }
#else
  using Words = __m128i;
  static Words widen(const std::int8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
  }
  static Words load_words(const Element* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static Words splat(const Element* p) {
    long long four;
    std::memcpy(&four, p, sizeof four);
    return _mm_set1_epi64x(four);
  }
  static Integers pairs(Words a, Words b) { return Integers(_mm_madd_epi16(a, b)); }
#endif

  // A vector of words is a half of a vector's columns, kDepth of each.
  static constexpr int kParts = 4;
  struct Weights {
    Words parts[kParts];
  };
  struct Sums {
    Integers parts[kParts];
  };

  static Weights weights(const std::int8_t* p) {
    Weights w;
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) w.parts[i] = widen(p + i * 2 * kLanes);
    return w;
  }
  static void add(Sums& sums, const Weights& w, const Element* x) {
    const Words value = splat(x);
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) sums.parts[i] += pairs(w.parts[i], value);
  }
  static void add_each(Sums& sums, const Weights& w, const Element* x) {
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) sums.parts[i] += pairs(w.parts[i], load_words(x + i * 2 * kLanes));
  }
  static Sums begin(const Totals& /*start*/) { return {}; }
  static Totals total(const Sums& sums, const Totals& start) {
    return {neighbours(sums.parts[0], sums.parts[1]) + start.low,
            neighbours(sums.parts[2], sums.parts[3]) + start.high};
  }
  static Element element(std::uint8_t byte, ByteOrder order) {
    return order.is_signed ? static_cast<std::int8_t>(byte) : byte;
  }
  static std::int32_t value(Element element, ByteOrder /*order*/) { return element; }
  /// kDepth bytes as elements.
  static void put(const std::uint8_t* bytes, ByteOrder order, Element* to) {
#pragma GCC unroll 4
    for (int i = 0; i < kDepth; ++i) to[i] = element(bytes[i], order);
  }
  static void put(const Bytes16& bytes, ByteOrder order, Element* to) {
    Words16 words;
    if (order.is_signed) {
      words = __builtin_convertvector(Signed16(bytes), Words16);
    } else {
      words = __builtin_convertvector(bytes, Words16);
    }
    std::memcpy(to, &words, sizeof words);
  }

 private:
  // Sums of neighbouring elements, of `a` first.
  static Integers neighbours(Integers a, Integers b) {
    Integers sums;
#if defined(__wasm_simd128__) || !defined(__AVX2__)
    sums = __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#elif defined(__AVX512F__)
    sums = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#else
    sums = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) +
           __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#endif
    return sums;
  }
};

#else

/// One product after the other, for processors without SIMD that is known here.
struct WordDot {
  static constexpr int kRows = 2;
  using Element = std::int16_t;
  using Weights = const std::int8_t*;
  using Sums = Totals;

  static Weights weights(const std::int8_t* p) { return p; }
  static void add(Sums& sums, Weights w, const Element* x) {
    for (int c = 0; c < kLanes; ++c) {
      for (int i = 0; i < kDepth; ++i) {
        sums.low[c] += w[c * kDepth + i] * x[i];
        sums.high[c] += w[(kLanes + c) * kDepth + i] * x[i];
      }
    }
  }
  static void add_each(Sums& sums, Weights w, const Element* x) {
    for (int c = 0; c < kLanes; ++c) {
      for (int i = 0; i < kDepth; ++i) {
        sums.low[c] += w[c * kDepth + i] * x[c * kDepth + i];
        sums.high[c] += w[(kLanes + c) * kDepth + i] * x[(kLanes + c) * kDepth + i];
      }
    }
  }
  static Sums begin(const Totals& start) { return start; }
  static Totals total(const Sums& sums, const Totals& /*start*/) { return sums; }
  static Element element(std::uint8_t byte, ByteOrder order) {
    return order.is_signed ? static_cast<std::int8_t>(byte) : byte;
  }
  static std::int32_t value(Element element, ByteOrder /*order*/) { return element; }
  /// kDepth bytes as elements.
  static void put(const std::uint8_t* bytes, ByteOrder order, Element* to) {
#pragma GCC unroll 4
    for (int i = 0; i < kDepth; ++i) to[i] = element(bytes[i], order);
  }
  static void put(const Bytes16& bytes, ByteOrder order, Element* to) {
    Words16 words;
    if (order.is_signed) {
      words = __builtin_convertvector(Signed16(bytes), Words16);
    } else {
      words = __builtin_convertvector(bytes, Words16);
    }
    std::memcpy(to, &words, sizeof words);
  }
};

#endif

}  // namespace wg
