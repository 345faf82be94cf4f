// Normalization of rows to mean 0 and variance 1, with a scale and a bias for each column.
#include "wasmgrad/graph_runtime/kernels/rows.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

struct LayerNorm {
  std::int32_t rows;
  std::int32_t columns;
  float epsilon;
};

void layer_norm(const LayerNorm& d, const float* x, const float* scale, const float* bias, float* y,
                Range rows) {
  const float count = static_cast<float>(d.columns);
  x += rows.begin * d.columns;
  y += rows.begin * d.columns;
  for (int row = rows.begin; row < rows.end; ++row, x += d.columns, y += d.columns) {
    const Vector mean = splat(total(x, d.columns, [](Vector v) { return v; }) / count);
    const float squares = total(x, d.columns, [=](Vector v) { return (v - mean) * (v - mean); });
    const Vector factor = splat(1 / __builtin_sqrtf(squares / count + d.epsilon));
    std::int32_t i = 0;
    for (; i + kLanes <= d.columns; i += kLanes) {
      store(y + i, madd((load(x + i) - mean) * factor, load(scale + i), load(bias + i)));
    }
    for (; i < d.columns; ++i) y[i] = (x[i] - mean[0]) * factor[0] * scale[i] + bias[i];
  }
}

}  // namespace
}  // namespace wg

extern "C" int wg_layer_norm(const std::int32_t* descriptor, const float* x, const float* scale,
                             const float* bias, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::LayerNorm*>(descriptor);
  wg::in_parallel(d.rows, std::int64_t{80} * d.columns, scratch,
                  [&](wg::Range rows, void* /*scratch*/) { wg::layer_norm(d, x, scale, bias, y, rows); });
  return 0;
}
