// Trains a digit classifier on MNIST: reads the four IDX files through WASI, prepares them, and calls the
// training host.
//
// It holds no training code: loss, gradients and weights live on the host.
#include <array>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <new>
#include <string>

#include "dataset.hpp"
#include "wasmgrad/arguments.hpp"
#include "wasmgrad/training.hpp"

namespace {

constexpr const char* kUsage = R"(usage: mnist_train.wasm [options] [MODEL]

Trains MODEL (default model.pt), which maps images [N, 1, 28, 28] to ten class scores, on MNIST.

  --data DIR            directory of the four raw IDX files (default: the first of /data, ., data/mnist that has them)
  --model NAME          the model, in place of the positional argument
  --epochs N            passes over the training images (default 10)
  --batch-size N        images in one step (default 128)
  --learning-rate X     (default 1e-4)
  --optimizer NAME      adam, rmsprop, sgd or adamw (default adam)
  --loss NAME           cross_entropy (the model returns logits) or cross_entropy_probabilities (default cross_entropy)
  --validation N        keep N training images, drawn at random, for validation (default 0)
  --seed N              of that draw (default 0)
  --limit N             use only the first N images of each set
  --f32                 send pixels as f32 in 0..1 in place of bytes, which the host scales
)";

struct Settings {
  std::string data;
  std::string model;
  wasmgrad::TrainOptions train;
  std::uint32_t validation;
  std::uint64_t seed;
  std::uint32_t limit;
  bool f32;
};

bool exists(const std::string& path) {
  if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
    std::fclose(file);
    return true;
  }
  return false;
}

/// The first of the usual places that has the training images.
std::string find_data() {
  for (const char* directory : {"/data", ".", "data/mnist"}) {
    if (exists(std::string(directory) + "/train-images-idx3-ubyte")) return directory;
  }
  wasmgrad::fail(
      "train-images-idx3-ubyte: missing: expected in one of /data, . and data/mnist; grant its directory as "
      "/data, or name it with "
      "--data DIR");
}

Settings parse(int argc, char** argv) {
  using wasmgrad::Loss;
  using wasmgrad::Optimizer;
  wasmgrad::Arguments arguments(argc, argv, kUsage);
  Settings settings;
  const auto data = arguments.text("--data");
  settings.model = arguments.text("--model", "model.pt");
  settings.train.classes = mnist::kClasses;
  settings.train.epochs = arguments.integer<std::int32_t>("--epochs", 10);
  settings.train.batch_size = arguments.integer<std::int64_t>("--batch-size", 128);
  settings.train.learning_rate = arguments.number("--learning-rate", 1e-4);
  settings.train.optimizer = arguments.choice<Optimizer>("--optimizer", Optimizer::adam,
                                                         {{"adam", Optimizer::adam},
                                                          {"rmsprop", Optimizer::rmsprop},
                                                          {"sgd", Optimizer::sgd},
                                                          {"adamw", Optimizer::adamw}});
  settings.train.loss =
      arguments.choice<Loss>("--loss", Loss::cross_entropy,
                             {{"cross_entropy", Loss::cross_entropy},
                              {"cross_entropy_probabilities", Loss::cross_entropy_probabilities}});
  settings.validation = arguments.integer<std::uint32_t>("--validation", 0);
  settings.seed = static_cast<std::uint64_t>(arguments.integer<std::int64_t>("--seed", 0, 0));
  settings.limit = arguments.integer<std::uint32_t>("--limit", std::numeric_limits<std::uint32_t>::max(), 1);
  settings.f32 = arguments.flag("--f32");
  const auto positional = arguments.positional(1);
  if (!positional.empty()) settings.model = positional[0];
  settings.data = data ? *data : find_data();
  return settings;
}

/// Runs `work` between the two halves of a progress line.
template <class Work>
auto step(const char* what, Work work) {
  std::printf("[Wasm] %s ... ", what);
  std::fflush(stdout);
  auto result = work();
  std::puts("[Done]");
  std::fflush(stdout);  // before the host prints lines of its own
  return result;
}

template <class Pixel>
wasmgrad::Samples samples(const mnist::Images<Pixel>& images, const mnist::Labels& labels,
                          std::uint32_t first, std::uint32_t count, const std::string& name) {
  return {{images.rows(first, count), {count, 1, mnist::kSide, mnist::kSide}, name + " images"},
          {labels.rows(first, count), {count}, name + " labels"}};
}

template <class Pixel>
void run(const Settings& settings) {
  const auto file = [&](const char* name) { return settings.data + "/" + name; };
  const std::string train_images_path = file("train-images-idx3-ubyte");
  const std::string test_images_path = file("t10k-images-idx3-ubyte");
  const std::uint32_t limit = settings.limit;

  auto images =
      step("Preparing training images", [&] { return mnist::read_images<Pixel>(train_images_path, limit); });
  auto labels = step("Preparing training labels", [&] {
    return mnist::read_labels(file("train-labels-idx1-ubyte"), limit, train_images_path);
  });
  const auto test_images =
      step("Preparing testing images", [&] { return mnist::read_images<Pixel>(test_images_path, limit); });
  const auto test_labels = step("Preparing testing labels", [&] {
    return mnist::read_labels(file("t10k-labels-idx1-ubyte"), limit, test_images_path);
  });

  wasmgrad::TrainOptions options = settings.train;
  options.model = settings.model;
  const auto test = samples(test_images, test_labels, 0, test_images.count, "test");
  if (settings.validation == 0) {
    wasmgrad::train(options, samples(images, labels, 0, images.count, "train"), test);
    return;
  }
  if (settings.validation >= images.count) {
    wasmgrad::fail("--validation: expected fewer than the %u training images, found %u", images.count,
                   settings.validation);
  }
  mnist::move_to_end(images, labels, settings.validation, settings.seed);
  const std::uint32_t kept = images.count - settings.validation;
  wasmgrad::train(options, samples(images, labels, 0, kept, "train"), test,
                  samples(images, labels, kept, settings.validation, "validation"));
}

}  // namespace

int main(int argc, char** argv) {
  std::set_new_handler([] {
    wasmgrad::fail(
        "out of memory: expected 80 MiB of linear memory for the pixels as bytes, 310 MiB with --f32; "
        "--limit takes less");
  });
  const Settings settings = parse(argc, argv);
  settings.f32 ? run<float>(settings) : run<std::uint8_t>(settings);
}
