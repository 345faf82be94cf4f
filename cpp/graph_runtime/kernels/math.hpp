// Transcendental functions of vectors, to a few units in the last place, with the limits and NaN of the C
// library.
#pragma once

#include "wasmgrad/graph_runtime/kernels/simd.hpp"

namespace wg {

inline Vector absolute(Vector v) { return as_floats(as_integers(v) & 0x7fffffff); }

/// `magnitude` with the sign of `sign`.
inline Vector with_sign(Vector magnitude, Vector sign) {
  return as_floats((as_integers(magnitude) & 0x7fffffff) | (as_integers(sign) & INT32_MIN));
}

/// 2^n for whole n in [-126, 127].
inline Vector power_of_two(Integers n) { return as_floats((n + 127) << 23); }

inline Vector exp(Vector x) {
  // x = n ln 2 + r, |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to a whole number that stands in the low bits.
  const Vector bounded = at_least(at_most(x, splat(89.0f)), splat(-104.0f));
  const Vector magic = splat(12582912.0f);
  const Vector shifted = madd(bounded, splat(1.44269504f), magic);
  const Vector whole = shifted - magic;
  const Vector r = madd(whole, splat(-1.42860677e-6f), madd(whole, splat(-0.693145752f), bounded));
  Vector p = splat(1.0f / 5040);
  p = madd(p, r, splat(1.0f / 720));
  p = madd(p, r, splat(1.0f / 120));
  p = madd(p, r, splat(1.0f / 24));
  p = madd(p, r, splat(1.0f / 6));
  p = madd(p, r, splat(0.5f));
  p = madd(p, r, splat(1.0f));
  p = madd(p, r, splat(1.0f));
  // Two factors: 2^n alone would leave the range of floats at both ends.
  const Integers n = as_integers(shifted) - as_integers(magic);
  const Integers half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

inline Vector log(Vector x) {
  const Integers denormal = x < splat(1.17549435e-38f);
  const Vector scaled = denormal ? x * splat(8388608.0f) : x;
  // scaled = 2^n m, m in [sqrt(1/2), sqrt(2)).
  const Integers n = (as_integers(scaled) - 0x3f3504f3) >> 23;
  const Vector m = as_floats(as_integers(scaled) - (n << 23));
  const Vector exponent = __builtin_convertvector(n, Vector) - (denormal ? splat(23.0f) : splat(0.0f));
  // log m = 2 atanh(s), s = (m - 1) / (m + 1).
  const Vector f = m - splat(1.0f);
  const Vector s = f / (m + splat(1.0f));
  const Vector z = s * s;
  Vector p = splat(2.0f / 9);
  p = madd(p, z, splat(2.0f / 7));
  p = madd(p, z, splat(2.0f / 5));
  p = madd(p, z, splat(2.0f / 3));
  const Vector rest = madd(exponent, splat(1.42860677e-6f), s * z * p);
  Vector result = madd(exponent, splat(0.693145752f), madd(s, splat(2.0f), rest));
  const Vector infinity = splat(__builtin_inff());
  result = x == infinity ? infinity : result;
  result = x == splat(0.0f) ? -infinity : result;
  return (x >= splat(0.0f)) ? result : splat(__builtin_nanf(""));
}

inline Vector sigmoid(Vector x) { return splat(1.0f) / (splat(1.0f) + exp(-x)); }

inline Vector tanh(Vector x) {
  const Vector a = absolute(x);
  // An odd polynomial where 1 - exp(-2a) would cancel.
  const Vector z = x * x;
  Vector p = splat(21844.0f / 6081075);
  p = madd(p, z, splat(-1382.0f / 155925));
  p = madd(p, z, splat(62.0f / 2835));
  p = madd(p, z, splat(-17.0f / 315));
  p = madd(p, z, splat(2.0f / 15));
  p = madd(p, z, splat(-1.0f / 3));
  const Vector small = madd(p * z, x, x);
  const Vector e = exp(splat(-2.0f) * a);
  const Vector large = with_sign((splat(1.0f) - e) / (splat(1.0f) + e), x);
  return a < splat(0.5f) ? small : large;
}

inline Vector erf(Vector x) {
  const Vector a = absolute(x);
  // Maclaurin's series below 1: the sum of (-1)^n x^(2n+1) / (n! (2n+1)).
  const Vector z = x * x;
  Vector p = splat(1.0f / 6894720);
  p = madd(p, z, splat(-1.0f / 685440));
  p = madd(p, z, splat(1.0f / 75600));
  p = madd(p, z, splat(-1.0f / 9360));
  p = madd(p, z, splat(1.0f / 1320));
  p = madd(p, z, splat(-1.0f / 216));
  p = madd(p, z, splat(1.0f / 42));
  p = madd(p, z, splat(-1.0f / 10));
  p = madd(p, z, splat(1.0f / 3));
  const Vector small = splat(1.12837917f) * madd(-p * z, x, x);
  // log(1 - erf a) on [1, 4], fitted with the weight 1 - erf a; beyond, erf rounds to 1.
  const Vector b = at_most(a, splat(4.0f));
  Vector q = splat(1.82406569e-4f);
  q = madd(q, b, splat(-2.90668034e-3f));
  q = madd(q, b, splat(2.16662847e-2f));
  q = madd(q, b, splat(-0.102731869f));
  q = madd(q, b, splat(-0.638594449f));
  q = madd(q, b, splat(-1.12680793f));
  q = madd(q, b, splat(-4.13304253e-4f));
  const Vector large = with_sign(splat(1.0f) - exp(q), x);
  return a < splat(1.0f) ? small : large;
}

inline Vector swish(Vector x) { return x / (splat(1.0f) + exp(-x)); }

inline Vector hardswish(Vector x) {
  const Vector gate = at_least(at_most(x + splat(3.0f), splat(6.0f)), splat(0.0f));
  return x * gate * splat(1.0f / 6);
}

/// x Phi(x), Phi the normal distribution: accurate to its own last places also where Phi(x) is small, as
/// (1 + erf(x / sqrt(2))) / 2 is not.
inline Vector gelu(Vector x) {
  // The binary logarithm of Phi(-a), fitted on [0, 14.3] with the weight Phi(-a) (a + 0.2); beyond, Phi(-a)
  // is 0.
  const Vector a = at_most(absolute(x), splat(14.3f));
  Vector p = splat(-2.00646127e-6f);
  p = madd(p, a, splat(2.94125784e-5f));
  p = madd(p, a, splat(-1.38495670e-4f));
  p = madd(p, a, splat(-2.53493141e-4f));
  p = madd(p, a, splat(7.21880654e-3f));
  p = madd(p, a, splat(-5.26077151e-2f));
  p = madd(p, a, splat(-0.459168613f));
  p = madd(p, a, splat(-1.15111077f));
  p = at_least(madd(p, a, splat(-1.0f)), splat(-126.0f));
  // 2^p = 2^n 2^f, |f| <= 1/2, as in exp; the polynomial's relative error is 1e-7.
  const Vector magic = splat(12582912.0f);
  const Vector shifted = p + magic;
  const Vector f = p - (shifted - magic);
  Vector q = splat(1.32647273e-3f);
  q = madd(q, f, splat(9.67151299e-3f));
  q = madd(q, f, splat(5.55073358e-2f));
  q = madd(q, f, splat(0.240222424f));
  q = madd(q, f, splat(0.693147004f));
  q = madd(q, f, splat(1.0f));
  const Vector tail = as_floats(as_integers(q) + (as_integers(shifted) << 23));
  return x * (x < splat(0.0f) ? tail : splat(1.0f) - tail);
}

}  // namespace wg
