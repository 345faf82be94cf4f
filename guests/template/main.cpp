// A complete training guest. It learns the mean of eight numbers: replace `make_points` by your own data.
//
// The model it trains maps inputs [N, 8] to outputs [N, 1]: `wasmgrad model linear-regression -o model.pt`.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "wasmgrad/random.hpp"
#include "wasmgrad/training.hpp"

namespace {

constexpr std::uint32_t kFeatures = 8;

struct Points {
  std::vector<float> inputs;   // [count, kFeatures]
  std::vector<float> targets;  // [count, 1]
  std::uint32_t count;

  [[nodiscard]] wasmgrad::Samples samples() const {
    return {{inputs, {count, kFeatures}, "inputs"}, {targets, {count, 1}, "targets"}};
  }
};

// Targets are the mean of the features plus a little noise.
Points make_points(std::uint32_t count, wasmgrad::Random& random) {
  Points points{.inputs = {}, .targets = {}, .count = count};
  for (std::uint32_t i = 0; i < count; ++i) {
    double sum = 0;
    for (std::uint32_t feature = 0; feature < kFeatures; ++feature) {
      const double x = random.normal();
      points.inputs.push_back(static_cast<float>(x));
      sum += x;
    }
    points.targets.push_back(static_cast<float>(sum / kFeatures + 0.05 * random.normal()));
  }
  return points;
}

}  // namespace

int main() {
  wasmgrad::Random random(1);
  const Points training = make_points(2048, random);
  const Points test = make_points(512, random);
  std::printf("%u points to train on, %u to test on\n", training.count, test.count);
  std::fflush(stdout);

  wasmgrad::train({.model = "model.pt",
                   .learning_rate = 0.01,
                   .epochs = 10,
                   .batch_size = 64,
                   .optimizer = wasmgrad::Optimizer::adamw,
                   .loss = wasmgrad::Loss::mse},
                  training.samples(), test.samples());
  std::puts("trained model.pt");
}
