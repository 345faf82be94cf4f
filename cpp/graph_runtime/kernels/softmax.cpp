// Softmax and its logarithm over rows.
#include "wasmgrad/graph_runtime/kernels/math.hpp"
#include "wasmgrad/graph_runtime/kernels/rows.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

struct Softmax {
  std::int32_t rows;
  std::int32_t columns;
  std::int32_t log;
};

// The exponentials of a row less its largest value, and their sum, which is returned.
float exponentials(const float* x, float* y, std::int32_t count, Vector largest) {
  Vector lanes = splat(0);
  std::int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vector value = exp(load(x + i) - largest);
    store(y + i, value);
    lanes += value;
  }
  float rest = 0;
  for (; i < count; ++i) rest += y[i] = exp(splat(x[i]) - largest)[0];
  return sum(lanes) + rest;
}

void softmax(const Softmax& d, const float* x, float* y, Range rows) {
  x += rows.begin * d.columns;
  y += rows.begin * d.columns;
  for (int row = rows.begin; row < rows.end; ++row, x += d.columns, y += d.columns) {
    const Vector largest = splat(reduce(x, d.columns, wg::largest));
    if (d.log != 0) {
      const float total = wg::total(x, d.columns, [=](Vector v) { return exp(v - largest); });
      const Vector logarithm = log(splat(total));
      map(x, y, d.columns, [=](Vector v) { return v - largest - logarithm; });
    } else {
      const Vector scale = splat(1 / exponentials(x, y, d.columns, largest));
      map(y, y, d.columns, [=](Vector v) { return v * scale; });
    }
  }
}

}  // namespace
}  // namespace wg

extern "C" int wg_softmax(const std::int32_t* descriptor, const float* x, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Softmax*>(descriptor);
  const std::int64_t cost = std::int64_t{2 * wg::kCostOfFunction} * d.columns;
  wg::in_parallel(d.rows, cost, scratch,
                  [&](wg::Range rows, void* /*scratch*/) { wg::softmax(d, x, y, rows); });
  return 0;
}
