// A complete training guest. It learns the mean of eight numbers: replace `make_points` by your own data.
//
// The model it trains maps inputs [N, 8] to outputs [N, 1]: `wasmgrad model linear-regression -o model.pt`.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "wasmgrad/random.hpp"
#include "wasmgrad/training_v1.hpp"

namespace {

using namespace wasmgrad::v1;

constexpr std::uint32_t kFeatures = 8;

// Targets are the mean of the features plus a little noise.
Dataset make_points(std::uint32_t count, wasmgrad::Random& random) {
  std::vector<float> inputs;   // [count, kFeatures]
  std::vector<float> targets;  // [count, 1]
  for (std::uint32_t i = 0; i < count; ++i) {
    double sum = 0;
    for (std::uint32_t feature = 0; feature < kFeatures; ++feature) {
      const double x = 2 * random.uniform() - 1;
      inputs.push_back(static_cast<float>(x));
      sum += x;
    }
    targets.push_back(static_cast<float>(sum / kFeatures + 0.1 * random.uniform() - 0.05));
  }
  Dataset points = Dataset::create().value();  // as many append() calls as the data needs
  points.append(Tensor(inputs, {count, kFeatures}), Tensor(targets, {count, 1})).value();
  return points;
}

// Writes the trained model where the owner granted a directory, whole or not at all.
void save(const Model& model, const char* path) {
  const Bytes file = model.to_bytes().value();
  const std::string temporary = std::string(path) + ".part";
  std::FILE* out = std::fopen(temporary.c_str(), "wb");
  bool written = out != nullptr && std::fwrite(file.data(), 1, file.size(), out) == file.size();
  if (out != nullptr) written = std::fclose(out) == 0 && written;
  if (written && std::rename(temporary.c_str(), path) == 0) {
    std::printf("saved %s (%zu bytes)\n", path, file.size());
  } else {
    std::fprintf(stderr, "not saved here: no directory to write %s to was granted (--dir .:.)\n", path);
  }
}

}  // namespace

int main() {
  wasmgrad::Random random(1);
  const Dataset training = make_points(2048, random);
  const Dataset test = make_points(512, random);

  const Model model = Model::load_by_name("model.pt").value();
  TrainerOptions options;
  options.optimizer = {.name = "adamw", .learning_rate = 0.01};
  options.losses = {{.name = "mse"}};
  options.batch_size = 64;
  Trainer trainer = Trainer::create(model, options).value();
  // A checkpoint may have been resumed, and the owner may want another number of epochs. Ctrl-C ends the
  // guest at the call that it falls into; its owner's checkpoint has every step.
  const Progress begin = trainer.progress().value();
  const int epochs = begin.owner_epochs != 0 ? static_cast<int>(begin.owner_epochs) : 10;
  for (int epoch = static_cast<int>(begin.epoch) + 1; epoch <= epochs; ++epoch) {
    const double loss = trainer.epoch(training).value().loss;
    std::printf("epoch %d: training loss %.4f, test loss %.4f\n", epoch, loss,
                trainer.evaluate(test).value().loss);
    std::fflush(stdout);
  }
  save(model, "trained_model.pt");
}
