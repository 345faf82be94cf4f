// Loops over the floats of a row, whole vectors first, then the rest of them.
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

}  // namespace wg
