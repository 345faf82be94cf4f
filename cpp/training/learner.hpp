// One model and its optimizer: a training step, an evaluation, a prediction. Torch header, private to
// training/.
//
// It must not know epochs, schedules, observers or checkpoints.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/dataset_storage.hpp"
#include "wasmgrad/training/metrics.hpp"
#include "wasmgrad/training/model_storage.hpp"
#include "wasmgrad/training/optimizer.hpp"
#include "wasmgrad/training/program.hpp"

namespace wasmgrad::training {

class Learner {
 public:
  /// Errors: kInvalidArgument when no parameter is trainable, a trainable one is not f32, or forward does not
  /// return a tensor.
  static Expected<Learner> create(Model model, const TrainerOptions& options);

  /// Whether these inputs and targets fit the model, by running their first rows, and whether all class
  /// targets are below its classes. `what` names the data in the error ("train"). Errors: kInvalidArgument.
  Status check(const at::Tensor& inputs, const at::Tensor& targets, const std::string& what);

  /// Forward, loss, backward, optimizer. Adds to `sum`. `where` of the error is left to the caller.
  /// Errors: kInvalidArgument when the output's shape is wrong; kRuntimeError when the loss is not finite.
  /// Nothing but buffers changes then.
  Status train_batch(const at::Tensor& inputs, const at::Tensor& targets, std::uint64_t step,
                     double learning_rate, MetricSum& sum);

  /// Errors: kInterrupted when `stop` was requested; those of check_output.
  Expected<Metrics> evaluate(const at::Tensor& inputs, const at::Tensor& targets, const StopToken* stop);

  /// f32 output in evaluation mode. Errors: kInvalidArgument when it is not [N, ...].
  Expected<at::Tensor> predict(const at::Tensor& inputs);

  [[nodiscard]] const Model& model() const noexcept { return model_; }
  /// Everything a checkpoint keeps, under its names there: "model.*" and "optimizer.*".
  [[nodiscard]] std::vector<NamedTensor> tensors() const;

 private:
  Learner(Model model, const TrainerOptions& options, std::vector<NamedTensor> parameters);
  /// The program for inputs of this type: u8 may be scaled differently.
  Expected<Program*> program(at::ScalarType inputs);

  Model model_;
  TrainerOptions options_;
  Optimizer optimizer_;
  std::array<std::optional<Program>, 2> programs_;
};

}  // namespace wasmgrad::training
