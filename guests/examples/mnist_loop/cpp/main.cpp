// Trains a digit classifier with a training loop of its own: validation, learning rate, early stopping,
// checkpoints and batches are decided here, the host computes.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "batches.hpp"
#include "progress.hpp"
#include "wasmgrad/arguments.hpp"
#include "wasmgrad/training_v1.hpp"

namespace {

using mnist::Progress;
using wasmgrad::v1::Dataset;
using wasmgrad::v1::Metrics;
using wasmgrad::v1::Model;
using wasmgrad::v1::Trainer;

constexpr const char* kUsage = R"(usage: mnist_loop_cpp.wasm [options]

  --epochs N      at most this many, those before a --resume included (default 10)
  --batches N     train only N batches an epoch (default 0: all)
  --data DIR      directory of the four raw IDX files (default /data)
  --out DIR       directory for the checkpoint and the trained model (default /out)
  --model NAME    a model that was granted (default model.pt)
  --seed N        of the split and of the order of samples (default 0)
  --resume        go on from the checkpoint in --out
  --own-batches   draw the batches here and train them step by step, in place of whole epochs on the host
)";

constexpr std::uint32_t kPatience = 3;

struct Settings {
  std::uint32_t epochs;
  std::uint32_t batches;
  std::string data;
  std::string out;
  std::string model;
  std::uint64_t seed;
  bool resume;
  bool own_batches;
};

Settings parse(int argc, char** argv) {
  wasmgrad::Arguments arguments(argc, argv, kUsage);
  Settings settings{.epochs = arguments.integer<std::uint32_t>("--epochs", 10),
                    .batches = arguments.integer<std::uint32_t>("--batches", 0),
                    .data = arguments.text("--data", "/data"),
                    .out = arguments.text("--out", "/out"),
                    .model = arguments.text("--model", "model.pt"),
                    .seed = arguments.integer<std::uint32_t>("--seed", 0),
                    .resume = arguments.flag("--resume"),
                    .own_batches = arguments.flag("--own-batches")};
  (void)arguments.positional(0);
  return settings;
}

void run(const Settings& settings) {
  std::unique_ptr<mnist::Training> training;
  if (settings.own_batches) {
    training = std::make_unique<mnist::OwnTraining>(settings.data, settings.seed, settings.batches);
  } else {
    training = std::make_unique<mnist::HostTraining>(settings.data, settings.seed);
  }
  const Dataset test = mnist::upload({settings.data, "t10k"});
  std::printf("training on %llu images, validating on %llu, testing on %llu\n", training->count(),
              training->validation().size().value(), test.size().value());
  std::fflush(stdout);

  const Model model = Model::load_by_name(settings.model).value();
  wasmgrad::v1::TrainerOptions options;
  options.losses = {{.name = "cross_entropy"}};
  options.batch_size = mnist::kBatch;
  options.seed = settings.seed;
  options.inputs = {{.input = "0", .scale = 1.0 / 255}};
  if (settings.batches != 0) options.batches_per_epoch = settings.batches;
  Trainer trainer = Trainer::create(model, options).value();

  const std::string checkpoint = settings.out + "/loop.checkpoint";
  Progress progress;
  if (settings.resume) {
    progress = mnist::resume(checkpoint, trainer);
    std::printf("resuming after epoch %u\n", progress.epoch);
  }
  while (progress.epoch < settings.epochs && progress.stale < kPatience) {
    trainer.set("learning_rate", progress.learning_rate).value();
    const auto done = training->epoch(trainer, progress.epoch);
    if (done.interrupted()) mnist::save(checkpoint, progress, trainer);  // within the epoch
    const double loss = done.value();
    const Metrics validation = trainer.evaluate(training->validation()).value();
    ++progress.epoch;
    std::printf(
        "epoch %u: training loss %.4f, validation loss %.4f, validation accuracy %.4f, learning rate %.6f\n",
        progress.epoch, loss, validation.loss, validation.accuracy, progress.learning_rate);
    std::fflush(stdout);
    if (validation.loss < progress.best_loss) {
      progress.best_loss = validation.loss;
      progress.best_parameters = trainer.parameters().value();
      progress.best_buffers = trainer.buffers().value();
      progress.stale = 0;
    } else {
      progress.learning_rate /= 2;
      ++progress.stale;
    }
    mnist::save(checkpoint, progress, trainer);
  }
  if (progress.stale == kPatience)
    std::printf("stopping: no better validation loss in %u epochs\n", kPatience);

  if (!progress.best_parameters.empty()) {  // what the last epochs made worse is not what is saved
    trainer.set_parameters(progress.best_parameters).value();
    trainer.set_buffers(progress.best_buffers).value();
  }
  const Metrics result = trainer.evaluate(test).value();
  std::printf("test loss %.4f, test accuracy %.4f\n", result.loss, result.accuracy);
  const std::string trained = settings.out + "/trained.pt";
  mnist::write_file(trained, {model.to_bytes().value()});
  std::printf("wrote %s\n", trained.c_str());
}

}  // namespace

int main(int argc, char** argv) { run(parse(argc, argv)); }
