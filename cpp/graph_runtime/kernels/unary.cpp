// Element-wise functions of a flat array.
#include "wasmgrad/graph_runtime/kernels/math.hpp"
#include "wasmgrad/graph_runtime/kernels/rows.hpp"

// The descriptor is the number of values.
#define WG_UNARY(function)                                                               \
  extern "C" int wg_##function(const std::int32_t* descriptor, const float* x, float* y, \
                               void* /*scratch*/) {                                      \
    wg::map(x, y, descriptor[0], [](wg::Vector v) { return wg::function(v); });          \
    return 0;                                                                            \
  }

WG_UNARY(exp)
WG_UNARY(log)
WG_UNARY(erf)
WG_UNARY(tanh)
WG_UNARY(sigmoid)
WG_UNARY(swish)
WG_UNARY(hardswish)
WG_UNARY(gelu)

#undef WG_UNARY
