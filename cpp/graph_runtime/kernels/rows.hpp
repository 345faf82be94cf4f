// Loops over the floats of a row, whole vectors first, then the rest of them; several vectors at a time where
// each would wait for the one before.
#pragma once

#include "wasmgrad/graph_runtime/kernels/simd.hpp"

namespace wg {

/// y[i] = function(x[i]); y may be x.
template <typename Function>
inline void map(const float* x, float* y, std::int32_t count, Function function) {
  std::int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(y + i, function(load(x + i)));
  if (i < count) store_first(y + i, function(load_first(x + i, count - i)), count - i);
}

/// The total of function(x[i]).
template <typename Function>
inline float total(const float* x, std::int32_t count, Function function) {
  Vector lanes = splat(0);
  std::int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) lanes += function(load(x + i));
  float rest = 0;
  for (; i < count; ++i) rest += function(splat(x[i]))[0];
  return sum(lanes) + rest;
}

/// The `extreme` (of two vectors) of all values, of which there is one at least.
template <typename Function>
inline float reduce(const float* x, std::int32_t count, Function extreme) {
  constexpr int kSides = 4;
  Vector sides[kSides];
  for (Vector& side : sides) side = splat(x[0]);
  std::int32_t i = 0;
  for (; i + kSides * kLanes <= count; i += kSides * kLanes) {
#pragma GCC unroll 4
    for (int s = 0; s < kSides; ++s) sides[s] = extreme(sides[s], load(x + i + s * kLanes));
  }
  for (; i < count; ++i) sides[0] = extreme(sides[0], splat(x[i]));
  Vector all = extreme(extreme(sides[0], sides[1]), extreme(sides[2], sides[3]));
  for (int lane = 1; lane < kLanes; ++lane) all = extreme(all, splat(all[lane]));
  return all[0];
}

}  // namespace wg
