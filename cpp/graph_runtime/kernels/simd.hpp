// A vector of kLanes floats, as few operations as the kernels need: 4 lanes on wasm SIMD, 1 where there is
// none, 8 or 16 on AVX. Built on the compilers' vector extension; knows no kernel.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

namespace wg {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#elif defined(__wasm_simd128__) || defined(__SSE2__) || defined(__ARM_NEON)
inline constexpr int kLanes = 4;
#else
inline constexpr int kLanes = 1;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef std::int32_t Integers __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void store(float* p, Vector v) { std::memcpy(p, &v, sizeof v); }

inline Vector splat(float s) { return s - Vector{}; }

/// The first `count` floats, up to kLanes, zeros after them; nothing else is read.
inline Vector load_first(const float* p, int count) {
  if (count >= kLanes) return load(p);
  Vector v{};
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i < count) v[i] = p[i];
  }
  return v;
}

/// Stores the first `count` lanes, up to kLanes.
inline void store_first(float* p, Vector v, int count) {
  if (count >= kLanes) return store(p, v);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i < count) p[i] = v[i];
  }
}

/// Stores pairs of lanes, the first of `a` and of `b`, the second of both, and so on, `stride` floats apart.
inline void store_pairs(float* p, std::int32_t stride, Vector a, Vector b) {
#if defined(__wasm_simd128__)
  const v128_t low = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5);
  const v128_t high = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
  wasm_v128_store64_lane(p, low, 0);
  wasm_v128_store64_lane(p + stride, low, 1);
  wasm_v128_store64_lane(p + 2 * stride, high, 0);
  wasm_v128_store64_lane(p + 3 * stride, high, 1);
#else
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    p[i * stride] = a[i];
    p[i * stride + 1] = b[i];
  }
#endif
}

/// a * b + c, rounded once or twice: whichever is faster.
inline Vector madd(Vector a, Vector b, Vector c) {
#if defined(__wasm_relaxed_simd__)
  return wasm_f32x4_relaxed_madd(a, b, c);
#else
  return a * b + c;
#endif
}

/// The smaller and the larger value; NaN in `v` stays NaN.
inline Vector at_most(Vector v, Vector high) {
#if defined(__wasm_simd128__)
  return wasm_f32x4_pmin(v, high);
#else
  return high < v ? high : v;
#endif
}
inline Vector at_least(Vector v, Vector low) {
#if defined(__wasm_simd128__)
  return wasm_f32x4_pmax(v, low);
#else
  return v < low ? low : v;
#endif
}

/// The larger of two values, NaN when either is.
inline Vector largest(Vector a, Vector b) { return b == b ? at_least(a, b) : b; }

inline float sum(Vector v) {
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += v[i];
  return total;
}

/// Hides how the pointer of a loop came about, so that the optimizer neither unrolls the loop nor gives each
/// load an address of its own. Engines compute late what has no side effect: they would load the operands of
/// several turns first, and spill.
template <typename T>
inline void detach([[maybe_unused]] T*& pointer) {
#if defined(__wasm__)
  asm volatile("" : "+r"(pointer));
#endif
}

/// Short runs, for which calling memset and memcpy, whose loops in wasm move words, takes longer than the
/// work.
inline void clear(float* p, std::int32_t count) {
  for (; count >= kLanes; count -= kLanes, p += kLanes) {
    detach(p);
    store(p, Vector{});
  }
  for (; count > 0; --count) {
    detach(p);
    *p++ = 0;
  }
}

inline void copy(float* to, const float* from, std::int32_t count) {
  for (; count >= kLanes; count -= kLanes, to += kLanes, from += kLanes) {
    detach(to);
    store(to, load(from));
  }
  for (; count > 0; --count) {
    detach(to);
    *to++ = *from++;
  }
}

/// A number in every lane. In wasm it comes from memory by one instruction; engines make a vector of a
/// literal by several, and in a loop make it anew each time.
template <float kValue>
inline Vector constant() {
#if defined(__wasm__)
  static constexpr float value = kValue;
  const float* from = &value;
  detach(from);
  return splat(*from);
#else
  return splat(kValue);
#endif
}

inline Vector as_floats(Integers v) {
  Vector floats;
  std::memcpy(&floats, &v, sizeof v);
  return floats;
}

inline Integers as_integers(Vector v) {
  Integers integers;
  std::memcpy(&integers, &v, sizeof v);
  return integers;
}

}  // namespace wg
