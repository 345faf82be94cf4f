// Calls everything that the C++ SDK has of wasmgrad:training@0.1 and prints what came back, a line a result.
// The guests sdk_tour_* in the other languages print the same lines.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/training_v1.hpp"

namespace {

using namespace wasmgrad::v1;
using wasmgrad::Half;

constexpr std::uint32_t kRows = 12, kFeatures = 4;

// Rows from `first` on, as the tensors of a model with an input `x` and the outputs `class` and `value`.
struct Rows {
  Rows(std::uint32_t first, std::uint32_t rows) : count(rows) {
    for (std::uint32_t i = first * kFeatures; i < (first + rows) * kFeatures; ++i)
      features.push_back(static_cast<float>(i * 7 % 13) / 13 - 0.5f);
    for (std::uint32_t i = first; i < first + rows; ++i) {
      classes.push_back(i % 3);
      values.push_back(static_cast<float>(i % 2));
    }
  }
  [[nodiscard]] Tensor inputs() const { return {features, {count, kFeatures}, "x"}; }
  [[nodiscard]] TensorList targets() const {
    return {Tensor(values, {count, 1}, "value"), Tensor(classes, {count}, "class")};
  }

  std::uint32_t count;
  std::vector<float> features, values;
  std::vector<std::int64_t> classes;
};

Bytes read_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) wasmgrad::fail("%s: cannot be opened", path);
  Bytes bytes;
  std::uint8_t buffer[4096];
  for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;)
    bytes.insert(bytes.end(), buffer, buffer + got);
  std::fclose(file);
  return bytes;
}

void write_file(const char* path, std::span<const std::uint8_t> bytes) {
  std::FILE* file = std::fopen(path, "wb");
  if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() ||
      std::fclose(file) != 0) {
    wasmgrad::fail("%s: cannot be written", path);
  }
}

void print(const char* name, std::initializer_list<double> values) {
  std::printf("%s", name);
  for (const double value : values) std::printf(" %.6f", value);
  std::printf("\n");
}

void print(const char* name, std::span<const float> values) {
  std::printf("%s", name);
  for (const float value : values) std::printf(" %.6f", static_cast<double>(value));
  std::printf("\n");
}

void show_options(const Model& model) {
  TrainerOptions all;
  all.optimizer = {.name = "adamw",
                   .learning_rate = 0.01,
                   .weight_decay = 0.1,
                   .beta1 = 0.8,
                   .beta2 = 0.9,
                   .epsilon = 1e-6};
  all.losses = {{.name = "cross_entropy", .output = "class"},
                {.name = "mse", .output = "value", .weight = 0.5}};
  all.schedule = {.name = "cosine", .warmup_epochs = 1, .minimum_factor = 0.1};
  all.epochs = 5;
  all.batch_size = 4;
  all.predict_batch_size = 3;
  all.batches_per_epoch = 2;
  all.drop_last = true;
  all.shuffle = true;
  all.seed = 7;
  all.restore_on_error = true;
  all.precision = "f32";
  all.rewrites = true;
  all.threads = 1;
  all.accumulate = 2;
  all.clip_norm = 1.5;
  all.clip_value = 0.5;
  all.top_k = 2;
  all.early_stopping = {.patience = 3, .min_delta = 0.01, .restore_best = false};
  all.inputs = {{.input = "x", .scale = 0.5, .offset = 1}};
  all.freeze = {"regressor.*"};
  TrainerOptions steps;
  steps.optimizer = {.name = "sgd", .momentum = 0.9, .nesterov = true};
  steps.losses = {{.name = "cross_entropy"}};
  steps.schedule = {.name = "step", .step_epochs = 2, .gamma = 0.5};
  TrainerOptions smoothed;
  smoothed.optimizer = {.name = "rmsprop", .momentum = 0.5, .alpha = 0.9};
  TrainerOptions weighted;
  weighted.optimizer.name = "adamw";
  weighted.optimizer.groups = {{.parameters = "*.bias", .learning_rate = 0.001, .weight_decay = 0},
                               {.parameters = "regressor.*", .weight_decay = 0.5}};
  weighted.losses = {{.name = "cross_entropy"}};
  weighted.class_weights = {1, 0.5, 2};
  weighted.ignore_index = -1;
  weighted.label_smoothing = 0.1;
  weighted.pos_weight = {3};
  weighted.huber_delta = 0.5;
  weighted.focal_gamma = 1.5;
  weighted.focal_alpha = 0.75;
  for (const TrainerOptions& options : {all, steps, smoothed, weighted}) {
    std::printf("options %s\n", options.to_json().c_str());
    (void)Trainer::create(model, options).value();
  }
  TrainerOptions adapted;  // no trainer of it: the model would keep its branches
  adapted.optimizer.name = "sgd";
  adapted.lora = {"classifier.*:2:4", "*:1"};
  std::printf("options %s\n", adapted.to_json().c_str());
}

void show_prediction(const char* name, Trainer& trainer) {
  const Rows two(0, 2);
  for (const Output& output : trainer.predict(two.inputs()).value()) {
    std::printf("%s %u", name, static_cast<unsigned>(output.type));
    for (const std::uint32_t dim : output.shape) std::printf(" %u", dim);
    print("", output.elements<float>());
  }
}

void show_exchange(Trainer& trainer) {
  const std::vector<float> initial = trainer.parameters().value();
  for (const std::uint32_t first : {0U, 4U}) {
    const Rows batch(first, 4);
    const Metrics metrics = trainer.backward(batch.inputs(), batch.targets()).value();
    print("backward", {metrics.loss, double(metrics.samples), double(metrics.step)});
  }
  std::vector<float> gradients = trainer.gradients().value();
  print("gradients", gradients);
  for (float& gradient : gradients) gradient *= 2;
  trainer.set_gradients(gradients).value();
  trainer.apply().value();
  print("applied", trainer.parameters().value());
  trainer.set_parameters(initial).value();
  print("replaced", trainer.parameters().value());

  const std::vector<float> buffers = trainer.buffers().value();
  print("buffers", buffers);
  trainer.set_buffers(std::vector<float>(buffers.size(), 1.5f)).value();
  print("buffers", trainer.buffers().value());
  trainer.set_buffers(buffers).value();
}

void show_training(Trainer& trainer, const Dataset& data) {
  const Rows batch(0, 4);
  trainer.set("learning_rate", 0.05).value();
  const Metrics step = trainer.step(batch.inputs(), batch.targets()).value();
  print("step", {step.loss, step.learning_rate, double(step.samples), double(step.step)});
  print("stepped", trainer.parameters().value());

  const Bytes state = trainer.checkpoint().value();
  const Metrics epoch = trainer.epoch(data).value();
  print("epoch", {epoch.loss, double(epoch.samples), double(epoch.step), double(epoch.epoch)});
  const std::vector<float> trained = trainer.parameters().value();
  print("trained", trained);
  trainer.restore(state).value();
  (void)trainer.epoch(data).value();
  print("restored", {double(trainer.parameters().value() == trained)});

  const std::vector<Dataset> parts = data.split({0.5, 0.25, 0.25}, 7).value();
  print("parts",
        {double(parts[0].size().value()), double(parts[1].size().value()), double(parts[2].size().value())});
  const FitReport report = trainer.fit(parts[0], &parts[1], 2).value();
  print("fit", {double(report.epochs), double(report.stopped_early), double(report.train.samples),
                double(report.train.epoch), double(report.validation.samples)});
  const FitReport alone = trainer.fit(parts[0], nullptr, 1).value();
  print("alone", {double(alone.epochs), double(alone.validation.samples)});
  const Metrics judged = trainer.evaluate(parts[2]).value();
  print("evaluate", {double(judged.samples), double(judged.epoch)});
  const Progress progress = trainer.progress().value();
  print("progress", {double(progress.epoch), double(progress.step), double(progress.best_epoch)});
}

void show_types() {
  const std::array<Half, 1> f16{{{0x3c00}}};
  const std::array<float, 1> f32{1};
  const std::array<double, 1> f64{1};
  const std::array<std::uint8_t, 1> u8{1};
  const std::array<std::int32_t, 1> i32{1};
  const std::array<std::int64_t, 1> i64{1};
  const std::array<BFloat16, 1> bf16{{{0x3f80}}};
  Dataset data = Dataset::create().value();
  data.append({Tensor(f16, {1, 1}), Tensor(f32, {1, 1}), Tensor(f64, {1, 1}), Tensor(u8, {1, 1})},
              {Tensor(i32, {1, 1}), Tensor(i64, {1, 1}), Tensor(bf16, {1, 1})})
      .value();
  print("types", {double(data.size().value())});
}

void show_failures(Trainer& trainer) {
  const auto absent = Model::load_by_name("absent");
  std::printf("absent %u %s\n", static_cast<unsigned>(absent.error().code()),
              absent.error().message().c_str());
  const auto speed = trainer.set("speed", 1);
  std::printf("speed %u %s\n", static_cast<unsigned>(speed.error().code()), last_error().c_str());
}

}  // namespace

int main() {
  const Model model = Model::load(read_file("/data/model.pt"), Encoding::torchscript).value();
  show_options(model);

  Dataset data = Dataset::create().value();
  for (const std::uint32_t first : {0U, 8U}) {
    const Rows block(first, std::min(8U, kRows - first));
    data.append(block.inputs(), block.targets()).value();
  }
  print("rows", {double(data.size().value())});

  TrainerOptions options;
  options.optimizer = {.name = "sgd", .learning_rate = 0.1};
  options.losses = {{.name = "cross_entropy", .output = "class"},
                    {.name = "mse", .output = "value", .weight = 0.5}};
  options.batch_size = 4;
  options.shuffle = false;
  options.threads = 1;
  Trainer trainer = Trainer::create(model, options).value();
  show_prediction("predict", trainer);
  show_exchange(trainer);
  show_training(trainer, data);
  show_prediction("last", trainer);

  const Model again = Model::load(model.to_bytes().value()).value();
  Trainer other = Trainer::create(again, "{}").value();
  show_prediction("again", other);
  write_file("/data/weights.safetensors", model.to_bytes(Encoding::safetensors).value());
  std::printf("config %s\n", run_config("note").value().c_str());
  std::printf("unset %u\n", static_cast<unsigned>(run_config("absent").error().code()));
  run_report("recall", 0.25).value();
  show_types();
  show_failures(trainer);
}
