// Transcendental functions of vectors, to a few units in the last place, with the limits and NaN of the C
// library.
#pragma once

#include "wasmgrad/graph_runtime/kernels/simd.hpp"

namespace wg {

/// About what a function of one value takes, in floating-point operations.
inline constexpr int kCostOfFunction = 60;

inline Vector absolute(Vector v) { return as_floats(as_integers(v) & 0x7fffffff); }

/// `magnitude` with the sign of `sign`.
inline Vector with_sign(Vector magnitude, Vector sign) {
  return as_floats((as_integers(magnitude) & 0x7fffffff) | (as_integers(sign) & INT32_MIN));
}

/// 2^n for whole n in [-126, 127].
inline Vector power_of_two(Integers n) { return as_floats((n + 127) << 23); }

inline Vector exp(Vector x) {
  // x = n ln 2 + r, |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to a whole number that stands in the low bits.
  const Vector bounded = at_least(at_most(x, constant<89.0f>()), constant<-104.0f>());
  const Vector magic = constant<12582912.0f>();
  const Vector shifted = madd(bounded, constant<1.44269504f>(), magic);
  const Vector whole = shifted - magic;
  const Vector r = madd(whole, constant<-1.42860677e-6f>(), madd(whole, constant<-0.693145752f>(), bounded));
  Vector p = constant<1.0f / 5040>();
  p = madd(p, r, constant<1.0f / 720>());
  p = madd(p, r, constant<1.0f / 120>());
  p = madd(p, r, constant<1.0f / 24>());
  p = madd(p, r, constant<1.0f / 6>());
  p = madd(p, r, constant<0.5f>());
  p = madd(p, r, constant<1.0f>());
  p = madd(p, r, constant<1.0f>());
  // Two factors: 2^n alone would leave the range of floats at both ends.
  const Integers n = as_integers(shifted) - as_integers(magic);
  const Integers half = n >> 1;
  return p * power_of_two(half) * power_of_two(n - half);
}

inline Vector log(Vector x) {
  const Integers denormal = x < constant<1.17549435e-38f>();
  const Vector scaled = denormal ? x * constant<8388608.0f>() : x;
  // scaled = 2^n m, m in [sqrt(1/2), sqrt(2)).
  const Integers n = (as_integers(scaled) - 0x3f3504f3) >> 23;
  const Vector m = as_floats(as_integers(scaled) - (n << 23));
  const Vector exponent =
      __builtin_convertvector(n, Vector) - (denormal ? constant<23.0f>() : constant<0.0f>());
  // log m = 2 atanh(s), s = (m - 1) / (m + 1).
  const Vector f = m - constant<1.0f>();
  const Vector s = f / (m + constant<1.0f>());
  const Vector z = s * s;
  Vector p = constant<2.0f / 9>();
  p = madd(p, z, constant<2.0f / 7>());
  p = madd(p, z, constant<2.0f / 5>());
  p = madd(p, z, constant<2.0f / 3>());
  const Vector rest = madd(exponent, constant<1.42860677e-6f>(), s * z * p);
  Vector result = madd(exponent, constant<0.693145752f>(), madd(s, constant<2.0f>(), rest));
  const Vector infinity = splat(__builtin_inff());
  result = x == infinity ? infinity : result;
  result = x == constant<0.0f>() ? -infinity : result;
  return (x >= constant<0.0f>()) ? result : splat(__builtin_nanf(""));
}

inline Vector sigmoid(Vector x) { return constant<1.0f>() / (constant<1.0f>() + exp(-x)); }

inline Vector tanh(Vector x) {
  const Vector a = absolute(x);
  // An odd polynomial where 1 - exp(-2a) would cancel.
  const Vector z = x * x;
  Vector p = constant<21844.0f / 6081075>();
  p = madd(p, z, constant<-1382.0f / 155925>());
  p = madd(p, z, constant<62.0f / 2835>());
  p = madd(p, z, constant<-17.0f / 315>());
  p = madd(p, z, constant<2.0f / 15>());
  p = madd(p, z, constant<-1.0f / 3>());
  const Vector small = madd(p * z, x, x);
  const Vector e = exp(constant<-2.0f>() * a);
  const Vector large = with_sign((constant<1.0f>() - e) / (constant<1.0f>() + e), x);
  return a < constant<0.5f>() ? small : large;
}

inline Vector erf(Vector x) {
  const Vector a = absolute(x);
  // Maclaurin's series below 1: the sum of (-1)^n x^(2n+1) / (n! (2n+1)).
  const Vector z = x * x;
  Vector p = constant<1.0f / 6894720>();
  p = madd(p, z, constant<-1.0f / 685440>());
  p = madd(p, z, constant<1.0f / 75600>());
  p = madd(p, z, constant<-1.0f / 9360>());
  p = madd(p, z, constant<1.0f / 1320>());
  p = madd(p, z, constant<-1.0f / 216>());
  p = madd(p, z, constant<1.0f / 42>());
  p = madd(p, z, constant<-1.0f / 10>());
  p = madd(p, z, constant<1.0f / 3>());
  const Vector small = constant<1.12837917f>() * madd(-p * z, x, x);
  // log(1 - erf a) on [1, 4], fitted with the weight 1 - erf a; beyond, erf rounds to 1.
  const Vector b = at_most(a, constant<4.0f>());
  Vector q = constant<1.82406569e-4f>();
  q = madd(q, b, constant<-2.90668034e-3f>());
  q = madd(q, b, constant<2.16662847e-2f>());
  q = madd(q, b, constant<-0.102731869f>());
  q = madd(q, b, constant<-0.638594449f>());
  q = madd(q, b, constant<-1.12680793f>());
  q = madd(q, b, constant<-4.13304253e-4f>());
  const Vector large = with_sign(constant<1.0f>() - exp(q), x);
  return a < constant<1.0f>() ? small : large;
}

inline Vector swish(Vector x) { return x / (constant<1.0f>() + exp(-x)); }

inline Vector hardswish(Vector x) {
  const Vector gate = at_least(at_most(x + constant<3.0f>(), constant<6.0f>()), constant<0.0f>());
  return x * gate * constant<1.0f / 6>();
}

/// x Phi(x), Phi the normal distribution: accurate to its own last places also where Phi(x) is small, as
/// (1 + erf(x / sqrt(2))) / 2 is not.
inline Vector gelu(Vector x) {
  // The binary logarithm of Phi(-a), fitted on [0, 14.3] with the weight Phi(-a) (a + 0.2); beyond, Phi(-a)
  // is 0.
  const Vector a = at_most(absolute(x), constant<14.3f>());
  Vector p = constant<-2.00646127e-6f>();
  p = madd(p, a, constant<2.94125784e-5f>());
  p = madd(p, a, constant<-1.38495670e-4f>());
  p = madd(p, a, constant<-2.53493141e-4f>());
  p = madd(p, a, constant<7.21880654e-3f>());
  p = madd(p, a, constant<-5.26077151e-2f>());
  p = madd(p, a, constant<-0.459168613f>());
  p = madd(p, a, constant<-1.15111077f>());
  p = at_least(madd(p, a, constant<-1.0f>()), constant<-126.0f>());
  // 2^p = 2^n 2^f, |f| <= 1/2, as in exp; the polynomial's relative error is 1e-7.
  const Vector magic = constant<12582912.0f>();
  const Vector shifted = p + magic;
  const Vector f = p - (shifted - magic);
  Vector q = constant<1.32647273e-3f>();
  q = madd(q, f, constant<9.67151299e-3f>());
  q = madd(q, f, constant<5.55073358e-2f>());
  q = madd(q, f, constant<0.240222424f>());
  q = madd(q, f, constant<0.693147004f>());
  q = madd(q, f, constant<1.0f>());
  const Integers tiny = p <= constant<-126.0f>();
  const Vector tail = as_floats((as_integers(q) + (as_integers(shifted) << 23)) & ~tiny);
  return x * (x < constant<0.0f>() ? tail : constant<1.0f>() - tail);
}

}  // namespace wg
