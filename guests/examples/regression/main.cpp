// Fits a line through generated points: y = Xw + b + noise, mean squared error, small named tensors.
//
// It needs no data directory, so it is also the shortest way to see a guest train.
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "wasmgrad/arguments.hpp"
#include "wasmgrad/random.hpp"
#include "wasmgrad/training.hpp"

namespace {

constexpr const char* kUsage = R"(usage: regression.wasm [options] [MODEL]

Trains MODEL (default linear.pt), which maps [N, 8] to [N, 1], on points of a random linear function.

  --model NAME          the model, in place of the positional argument
  --samples N           points to train on; a quarter as many are made for the test (default 4096)
  --noise X             standard deviation of the noise on y (default 0.1)
  --seed N              of the function and the points (default 0)
  --epochs N            (default 20)
  --batch-size N        (default 64)
  --learning-rate X     (default 0.01)
  --loss NAME           mse, l1 or huber (default mse)
)";

constexpr std::uint32_t kFeatures = 8;

/// y = weights . x + bias + noise.
struct LinearFunction {
  std::array<double, kFeatures> weights;
  double bias;
  double noise;

  LinearFunction(wasmgrad::Random& random, double noise_deviation) : noise(noise_deviation) {
    for (double& weight : weights) weight = 2 * random.uniform() - 1;
    bias = 2 * random.uniform() - 1;
  }
};

struct Points {
  std::vector<float> features;  ///< [count, kFeatures], normal with variance 1
  std::vector<float> targets;   ///< [count, 1]
  std::uint32_t count;

  Points(const LinearFunction& function, std::uint32_t points, wasmgrad::Random& random) : count(points) {
    features.reserve(std::size_t{count} * kFeatures);
    targets.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      double y = function.bias + function.noise * random.normal();
      for (double weight : function.weights) {
        const double x = random.normal();
        features.push_back(static_cast<float>(x));
        y += weight * x;
      }
      targets.push_back(static_cast<float>(y));
    }
  }

  [[nodiscard]] wasmgrad::Samples samples() const {
    return {{features, {count, kFeatures}, "features"}, {targets, {count, 1}, "target"}};
  }
};

}  // namespace

int main(int argc, char** argv) {
  using wasmgrad::Loss;
  wasmgrad::Arguments arguments(argc, argv, kUsage);
  std::string model = arguments.text("--model", "linear.pt");
  const auto count = arguments.integer<std::uint32_t>("--samples", 4096, 4);
  const double noise = arguments.number("--noise", 0.1);
  const auto seed = static_cast<std::uint64_t>(arguments.integer<std::int64_t>("--seed", 0, 0));
  wasmgrad::TrainOptions options;
  options.epochs = arguments.integer<std::int32_t>("--epochs", 20);
  options.batch_size = arguments.integer<std::int64_t>("--batch-size", 64);
  options.learning_rate = arguments.number("--learning-rate", 0.01);
  options.loss = arguments.choice<Loss>("--loss", Loss::mse,
                                        {{"mse", Loss::mse}, {"l1", Loss::l1}, {"huber", Loss::huber}});
  const auto positional = arguments.positional(1);
  if (!positional.empty()) model = positional[0];
  options.model = model;

  wasmgrad::Random random(seed);
  const LinearFunction function(random, noise);
  const Points training(function, count, random);
  const Points test(function, count / 4, random);

  std::printf("y = Xw + b + noise of deviation %g\nw =", noise);
  for (double weight : function.weights) std::printf(" %+.4f", weight);
  std::printf("\nb = %+.4f\n%u points to train on, %u to test on\n", function.bias, training.count,
              test.count);
  std::fflush(stdout);

  wasmgrad::train(options, training.samples(), test.samples());

  std::printf(
      "trained %s; no model can do better than a test loss of about %.4f (the variance of the noise) by "
      "mse\n",
      model.c_str(), noise * noise);
}
