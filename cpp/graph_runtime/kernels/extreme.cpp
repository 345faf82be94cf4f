// The largest and the smallest of all floats of a tensor, NaN where one is.
#include "wasmgrad/graph_runtime/kernels/simd.hpp"

namespace wg {
namespace {

Vector smallest(Vector a, Vector b) { return -largest(-a, -b); }

// Four vectors at a time, as each waits for the one before.
template <typename Function>
float reduce(const float* x, std::int32_t count, Function extreme) {
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

}  // namespace
}  // namespace wg

extern "C" int wg_max(const std::int32_t* descriptor, const float* x, float* y, void* /*scratch*/) {
  *y = wg::reduce(x, descriptor[0], wg::largest);
  return 0;
}

extern "C" int wg_min(const std::int32_t* descriptor, const float* x, float* y, void* /*scratch*/) {
  *y = wg::reduce(x, descriptor[0], wg::smallest);
  return 0;
}
