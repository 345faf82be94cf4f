// One step of an LSTM after its products: gates in ONNX's order (input, output, forget, cell), no peepholes.
#include "wasmgrad/graph_runtime/kernels/math.hpp"

namespace wg {
namespace {

struct Lstm {
  std::int32_t step;
  std::int32_t batch;
  std::int32_t hidden;
};

// `count` elements, up to kLanes, of one sequence's state. The gates lie `hidden` floats apart.
void advance(const float* inputs, const float* product, std::int32_t hidden, const float* memory, float* y,
             float* next_memory, int count) {
  const auto gate = [=](int number) {
    return load_first(inputs + number * hidden, count) + load_first(product + number * hidden, count);
  };
  const Vector kept = sigmoid(gate(2)) * load_first(memory, count);
  const Vector next = madd(sigmoid(gate(0)), tanh(gate(3)), kept);
  store_first(next_memory, next, count);
  store_first(y, sigmoid(gate(1)) * tanh(next), count);
}

}  // namespace
}  // namespace wg

extern "C" int wg_lstm(const std::int32_t* descriptor, const float* inputs, const float* product,
                       const float* memory, float* y, float* next_memory, void* /*scratch*/) {
  const auto& d = *reinterpret_cast<const wg::Lstm*>(descriptor);
  const std::int32_t gates = 4 * d.hidden;
  inputs += d.step * d.batch * gates;
  for (int b = 0; b < d.batch; ++b) {
    for (int j = 0; j < d.hidden; j += wg::kLanes) {
      const int left = d.hidden - j;
      const int count = left < wg::kLanes ? left : wg::kLanes;
      const std::int32_t at = b * d.hidden + j;
      wg::advance(inputs + b * gates + j, product + b * gates + j, d.hidden, memory + at, y + at,
                  next_memory + at, count);
    }
  }
  return 0;
}
