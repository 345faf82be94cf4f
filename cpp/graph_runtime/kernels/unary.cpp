// Element-wise functions of a flat array.
#include "wasmgrad/graph_runtime/kernels/math.hpp"
#include "wasmgrad/graph_runtime/kernels/rows.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

template <typename Function>
void map_in_parallel(const float* x, float* y, std::int32_t count, void* scratch, Function function) {
  constexpr int kStep = 64;
  const int steps = (count - 1) / kStep + 1;
  in_parallel(steps, std::int64_t{kCostOfFunction} * kStep, scratch, [&](Range part, void* /*scratch*/) {
    const int begin = part.begin * kStep;
    const int end = part.end == steps ? count : part.end * kStep;
    map(x + begin, y + begin, end - begin, function);
  });
}

}  // namespace
}  // namespace wg

// The descriptor is the number of values.
#define WG_UNARY(function)                                                                                \
  extern "C" int wg_##function(const std::int32_t* descriptor, const float* x, float* y, void* scratch) { \
    wg::map_in_parallel(x, y, descriptor[0], scratch, [](wg::Vector v) { return wg::function(v); });      \
    return 0;                                                                                             \
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
