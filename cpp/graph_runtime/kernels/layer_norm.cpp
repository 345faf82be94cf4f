// Normalization of rows to mean 0 and variance 1, with a scale and a bias for each column.
#include "wasmgrad/graph_runtime/kernels/rows.hpp"

namespace wg {
namespace {

struct LayerNorm {
  std::int32_t rows;
  std::int32_t columns;
  float epsilon;
};

}  // namespace
}  // namespace wg

extern "C" int wg_layer_norm(const std::int32_t* descriptor, const float* x, const float* scale,
                             const float* bias, float* y, void* /*scratch*/) {
  using wg::splat;
  using wg::Vector;
  const auto& d = *reinterpret_cast<const wg::LayerNorm*>(descriptor);
  const float count = static_cast<float>(d.columns);
  for (int row = 0; row < d.rows; ++row, x += d.columns, y += d.columns) {
    const Vector mean = splat(wg::total(x, d.columns, [](Vector v) { return v; }) / count);
    const float squares = wg::total(x, d.columns, [=](Vector v) { return (v - mean) * (v - mean); });
    const Vector factor = splat(1 / __builtin_sqrtf(squares / count + d.epsilon));
    std::int32_t i = 0;
    for (; i + wg::kLanes <= d.columns; i += wg::kLanes) {
      wg::store(y + i, wg::madd((wg::load(x + i) - mean) * factor, wg::load(scale + i), wg::load(bias + i)));
    }
    for (; i < d.columns; ++i) y[i] = (x[i] - mean[0]) * factor[0] * scale[i] + bias[i];
  }
  return 0;
}
