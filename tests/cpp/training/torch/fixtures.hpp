// Models that several training tests use. Small, deterministic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "../rows.hpp"
#include "wasmgrad/training/torch/loop/torch_trainer.hpp"

namespace wasmgrad::training::testing {

/// Where the fixture wrote the models.
std::filesystem::path models_directory();
std::vector<std::byte> model_archive(const std::string& name);
/// A model written by models.py.
TorchModel load_model(const std::string& name);

TorchTrainer trainer(const std::string& model, const TrainerOptions& options, Observer* observer = nullptr,
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
