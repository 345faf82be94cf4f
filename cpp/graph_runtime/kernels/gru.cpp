// One step of a GRU after its products: gates in ONNX's order (update, reset, hidden). The reset gate acts
// either on what the recurrence's weights make of the state, and all is one call, or on the state before it
// is multiplied with those of the hidden gate, and there is a call before that product and one after it.
#include "wasmgrad/graph_runtime/kernels/math.hpp"

namespace wg {
namespace {

struct Gru {
  std::int32_t step;
  std::int32_t batch;
  std::int32_t hidden;
};

Vector mixed(Vector update, Vector candidate, Vector old) {
  return madd(constant<1.0f>() - update, candidate, update * old);
}

// Calls visit(element of a gate in a step's inputs, element of the state, sequence, count of elements up to
// kLanes) for all elements.
template <typename Visit>
void for_each(const Gru& d, Visit visit) {
  for (int b = 0; b < d.batch; ++b) {
    for (int j = 0; j < d.hidden; j += kLanes) {
      const int left = d.hidden - j;
      visit((d.step * d.batch + b) * 3 * d.hidden + j, b * d.hidden + j, b, left < kLanes ? left : kLanes);
    }
  }
}

}  // namespace
}  // namespace wg

extern "C" int wg_gru(const std::int32_t* descriptor, const float* inputs, const float* product,
                      const float* bias, const float* old, float* y, void* /*scratch*/) {
  const auto& d = *reinterpret_cast<const wg::Gru*>(descriptor);
  const std::int32_t size = d.hidden;
  wg::for_each(d, [=](std::int32_t input, std::int32_t state, std::int32_t sequence, int count) {
    const auto seen = [=](int gate) { return wg::load_first(inputs + input + gate * size, count); };
    const auto recurrence = [=](int gate) {
      const std::int32_t at = state - sequence * size + gate * size;
      return wg::load_first(product + sequence * 3 * size + at, count) + wg::load_first(bias + at, count);
    };
    const wg::Vector update = wg::sigmoid(seen(0) + recurrence(0));
    const wg::Vector reset = wg::sigmoid(seen(1) + recurrence(1));
    const wg::Vector candidate = wg::tanh(wg::madd(reset, recurrence(2), seen(2)));
    wg::store_first(y + state, wg::mixed(update, candidate, wg::load_first(old + state, count)), count);
  });
  return 0;
}

extern "C" int wg_gru_reset(const std::int32_t* descriptor, const float* inputs, const float* product,
                            const float* old, float* y, void* /*scratch*/) {
  const auto& d = *reinterpret_cast<const wg::Gru*>(descriptor);
  const std::int32_t size = d.hidden;
  wg::for_each(d, [=](std::int32_t input, std::int32_t state, std::int32_t sequence, int count) {
    const wg::Vector gate = wg::load_first(inputs + input + size, count) +
                            wg::load_first(product + state + (sequence + 1) * size, count);
    wg::store_first(y + state, wg::load_first(old + state, count) * wg::sigmoid(gate), count);
  });
  return 0;
}

extern "C" int wg_gru_update(const std::int32_t* descriptor, const float* inputs, const float* product,
                             const float* candidate, const float* old, float* y, void* /*scratch*/) {
  const auto& d = *reinterpret_cast<const wg::Gru*>(descriptor);
  const std::int32_t size = d.hidden;
  wg::for_each(d, [=](std::int32_t input, std::int32_t state, std::int32_t sequence, int count) {
    const wg::Vector update = wg::sigmoid(wg::load_first(inputs + input, count) +
                                          wg::load_first(product + state + sequence * size, count));
    const wg::Vector next =
        wg::tanh(wg::load_first(inputs + input + 2 * size, count) + wg::load_first(candidate + state, count));
    wg::store_first(y + state, wg::mixed(update, next, wg::load_first(old + state, count)), count);
  });
  return 0;
}
