// Data and models that several training tests use. Small, deterministic, without torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/training/loop/trainer.hpp"

namespace wasmgrad::training::testing {

/// Where the fixture wrote the models.
std::filesystem::path models_directory();
std::vector<std::byte> model_archive(const std::string& name);
/// A model written by models.py.
Model load_model(const std::string& name);

/// A tensor together with its bytes.
class Tensor {
 public:
  template <class T>
  Tensor(DType dtype, std::vector<std::int64_t> shape, const std::vector<T>& values)
      : dtype_(dtype), shape_(std::move(shape)) {
    const auto bytes = std::as_bytes(std::span(values));
    bytes_.assign(bytes.begin(), bytes.end());
  }
  [[nodiscard]] TensorView view(const std::string& name = "") const;

 private:
  DType dtype_;
  std::vector<std::int64_t> shape_;
  std::vector<std::byte> bytes_;
};

/// f32 [rows, 4], the numbers of linear_data() in models.py.
Tensor linear_inputs(std::int64_t rows);
/// u8 [rows, 1, 6, 6].
Tensor image_inputs(std::int64_t rows);
/// i64 [rows], 0, 1, 2, 0, ...
Tensor class_targets(std::int64_t rows);

Dataset dataset(const Tensor& inputs, const Tensor& targets);
Dataset linear_dataset(std::int64_t rows);
Dataset image_dataset(std::int64_t rows);

/// Adam with learning rate 0.01, batches of 4, one thread.
TrainerOptions small_options();
Trainer trainer(const std::string& model, const TrainerOptions& options, Observer* observer = nullptr,
                const StopToken* stop = nullptr);

Expected<Metrics> step(Trainer& trainer, const Tensor& inputs, const Tensor& targets);
Expected<Metrics> backward(Trainer& trainer, const Tensor& inputs, const Tensor& targets);

/// A model's first output, which is f32.
struct Prediction {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
Expected<Prediction> predict(Trainer& trainer, const Tensor& inputs);

std::vector<float> parameters_of(const Trainer& trainer);

/// Requests a stop as soon as the run is at this epoch's (1-based) end.
class StopAfterEpoch final : public Observer {
 public:
  StopAfterEpoch(StopToken& token, std::int64_t epoch) : token_(token), epoch_(epoch) {}
  void on_epoch(const EpochReport& report) override {
    if (report.epoch == epoch_) token_.request();
  }

 private:
  StopToken& token_;
  std::int64_t epoch_;
};

/// All state, bit for bit.
std::vector<std::byte> state_of(const Trainer& trainer);

}  // namespace wasmgrad::training::testing
