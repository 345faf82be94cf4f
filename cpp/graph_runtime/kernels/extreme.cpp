// The largest and the smallest of all floats of a tensor, NaN where one is.
#include "wasmgrad/graph_runtime/kernels/rows.hpp"

namespace wg {
namespace {

Vector smallest(Vector a, Vector b) { return -largest(-a, -b); }

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
