#include "fixtures.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "wasmgrad/base/file.hpp"

namespace wasmgrad::training::testing {

namespace {

template <class T>
T unwrap(Expected<T> expected) {
  if (!expected) throw std::runtime_error(expected.error().message);
  return std::move(expected).value();
}

constexpr std::uint64_t kPlenty = std::uint64_t{1} << 30;

}  // namespace

std::filesystem::path models_directory() {
  const char* directory = std::getenv("WASMGRAD_TEST_MODELS");
  if (directory == nullptr)
    throw std::runtime_error("WASMGRAD_TEST_MODELS is not set; run these tests by ctest");
  return directory;
}

std::vector<std::byte> model_archive(const std::string& name) {
  return unwrap(read_file(models_directory() / (name + ".pt"), kPlenty));
}

Model load_model(const std::string& name) { return unwrap(Model::load(model_archive(name), name, kPlenty)); }

TensorView Tensor::view(const std::string& name) const {
  return unwrap(TensorView::create(name, dtype_, shape_, bytes_));
}

Tensor linear_inputs(std::int64_t rows) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < rows * 4; ++i) {
    values.push_back(static_cast<float>(static_cast<double>(i * 7 % 13) / 13 - 0.5));
  }
  return {DType::kF32, {rows, 4}, values};
}

Tensor image_inputs(std::int64_t rows) {
  std::vector<std::uint8_t> values;
  for (std::int64_t i = 0; i < rows * 36; ++i)
    values.push_back(static_cast<std::uint8_t>((i * 37 + i / 36 * 11) % 256));
  return {DType::kU8, {rows, 1, 6, 6}, values};
}

Tensor class_targets(std::int64_t rows) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < rows; ++i) values.push_back(i % 3);
  return {DType::kI64, {rows}, values};
}

Dataset dataset(const Tensor& inputs, const Tensor& targets) {
  const TensorView x = inputs.view();
  const TensorView y = targets.view();
  return unwrap(Dataset::create({&x, 1}, {&y, 1}, kPlenty));
}

Dataset linear_dataset(std::int64_t rows) { return dataset(linear_inputs(rows), class_targets(rows)); }
Dataset image_dataset(std::int64_t rows) { return dataset(image_inputs(rows), class_targets(rows)); }

TrainerOptions small_options() {
  TrainerOptions options;
  options.optimizer.learning_rate = 0.01;
  options.batch_size = 4;
  options.epochs = 3;
  options.threads = 1;
  options.top_k = 2;
  options.seed = 11;
  return options;
}

Trainer trainer(const std::string& model, const TrainerOptions& options, Observer* observer,
                const StopToken* stop) {
  return unwrap(Trainer::create(load_model(model), options, observer, stop));
}

Expected<Metrics> step(Trainer& trainer, const Tensor& inputs, const Tensor& targets) {
  const TensorView x = inputs.view();
  const TensorView y = targets.view();
  return trainer.step({&x, 1}, {&y, 1});
}

Expected<Metrics> backward(Trainer& trainer, const Tensor& inputs, const Tensor& targets) {
  const TensorView x = inputs.view();
  const TensorView y = targets.view();
  return trainer.backward({&x, 1}, {&y, 1});
}

Expected<Prediction> predict(Trainer& trainer, const Tensor& inputs) {
  const TensorView x = inputs.view();
  auto outputs = trainer.predict({&x, 1});
  if (!outputs) return outputs.error();
  Output& first = outputs->at(0);
  if (first.dtype != DType::kF32) throw std::runtime_error("the output is not f32");
  Prediction prediction{first.shape, std::vector<float>(first.bytes.size() / sizeof(float))};
  std::memcpy(prediction.values.data(), first.bytes.data(), first.bytes.size());
  return prediction;
}

std::vector<float> parameters_of(const Trainer& trainer) {
  std::vector<float> values(trainer.parameter_bytes() / sizeof(float));
  const Status status = trainer.parameters(std::as_writable_bytes(std::span(values)));
  if (!status) throw std::runtime_error(status.error().message);
  return values;
}

std::vector<std::byte> state_of(const Trainer& trainer) { return unwrap(trainer.checkpoint()); }

}  // namespace wasmgrad::training::testing
