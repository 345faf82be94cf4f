// Softmax and its logarithm over rows.
#include "wasmgrad/graph_runtime/kernels/math.hpp"
#include "wasmgrad/graph_runtime/kernels/rows.hpp"

namespace wg {
namespace {

struct Softmax {
  std::int32_t rows;
  std::int32_t columns;
  std::int32_t log;
};

float maximum(const float* x, std::int32_t count) {
  Vector lanes = splat(x[0]);
  std::int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) lanes = at_least(load(x + i), lanes);
  float result = lanes[0];
  for (int lane = 1; lane < kLanes; ++lane) result = result < lanes[lane] ? lanes[lane] : result;
  for (; i < count; ++i) result = result < x[i] ? x[i] : result;
  return result;
}

}  // namespace
}  // namespace wg

extern "C" int wg_softmax(const std::int32_t* descriptor, const float* x, float* y, void* /*scratch*/) {
  using wg::splat;
  using wg::Vector;
  const auto& d = *reinterpret_cast<const wg::Softmax*>(descriptor);
  for (int row = 0; row < d.rows; ++row, x += d.columns, y += d.columns) {
    const Vector largest = splat(wg::maximum(x, d.columns));
    if (d.log != 0) {
      const float total = wg::total(x, d.columns, [=](Vector v) { return wg::exp(v - largest); });
      const Vector logarithm = wg::log(splat(total));
      wg::map(x, y, d.columns, [=](Vector v) { return v - largest - logarithm; });
    } else {
      wg::map(x, y, d.columns, [=](Vector v) { return wg::exp(v - largest); });
      const Vector scale = splat(1 / wg::total(y, d.columns, [](Vector v) { return v; }));
      wg::map(y, y, d.columns, [=](Vector v) { return v * scale; });
    }
  }
  return 0;
}
