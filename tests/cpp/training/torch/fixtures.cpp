#include "fixtures.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "wasmgrad/base/file.hpp"

namespace wasmgrad::training::testing {

std::filesystem::path models_directory() {
  const char* directory = std::getenv("WASMGRAD_TEST_MODELS");
  if (directory == nullptr)
    throw std::runtime_error("WASMGRAD_TEST_MODELS is not set; run these tests by ctest");
  return directory;
}

std::vector<std::byte> model_archive(const std::string& name) {
  return unwrap(read_file(models_directory() / (name + ".pt"), kAmple));
}

TorchModel load_model(const std::string& name) {
  return unwrap(TorchModel::load(model_archive(name), name, kAmple));
}

TorchTrainer trainer(const std::string& model, const TrainerOptions& options, Observer* observer,
                     const StopToken* stop) {
  return unwrap(TorchTrainer::create(load_model(model), options, observer, stop));
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
