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

}  // namespace
}  // namespace wg

extern "C" int wg_softmax(const std::int32_t* descriptor, const float* x, float* y, void* /*scratch*/) {
  using wg::splat;
  using wg::Vector;
  const auto& d = *reinterpret_cast<const wg::Softmax*>(descriptor);
  for (int row = 0; row < d.rows; ++row, x += d.columns, y += d.columns) {
    const Vector largest = splat(wg::reduce(x, d.columns, wg::largest));
    if (d.log != 0) {
      const float total = wg::total(x, d.columns, [=](Vector v) { return wg::exp(v - largest); });
      const Vector logarithm = wg::log(splat(total));
      wg::map(x, y, d.columns, [=](Vector v) { return v - largest - logarithm; });
    } else {
      const Vector scale = splat(1 / wg::exponentials(x, y, d.columns, largest));
      wg::map(y, y, d.columns, [=](Vector v) { return v * scale; });
    }
  }
  return 0;
}
