// One model and its optimizer: gradients of a batch, an optimizer step, an evaluation, a prediction. Torch
// header, private to training/.
//
// It must not know epochs, schedules, observers or checkpoints.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/binding.hpp"
#include "wasmgrad/training/dataset_storage.hpp"
#include "wasmgrad/training/epoch_batches.hpp"
#include "wasmgrad/training/metrics.hpp"
#include "wasmgrad/training/model_storage.hpp"
#include "wasmgrad/training/optimizer.hpp"
#include "wasmgrad/training/program.hpp"

namespace wasmgrad::training {

/// What a column is but for its rows.
struct ColumnType {
  std::string name;
  at::ScalarType type;
  std::vector<std::int64_t> row_shape;
  bool operator==(const ColumnType&) const = default;
};

/// How data with certain columns meets the model. Made once for them.
struct Plan {
  std::vector<ColumnType> inputs, targets;
  Program program;
  std::vector<BoundLoss> losses;      ///< empty for a model that computes its own
  std::vector<std::int64_t> classes;  ///< of each loss; 0 for regression
};

/// "inputs of shape [5, 3]": columns of so many rows, for an error.
std::string shapes_of(const std::vector<NamedTensor>& columns, std::int64_t samples);

class Learner {
 public:
  /// Errors: kInvalidArgument when no parameter is trainable, a trainable one is not f32, a pattern of
  /// `freeze` matches none or all are frozen, or a scale is for no argument of forward.
  static Expected<Learner> create(Model model, const TrainerOptions& options);

  /// The plan for data with these columns. What is new is tried on the first rows in evaluation mode. It
  /// lives until dozens of others were asked for. Errors: kInvalidArgument when the columns do not fit the
  /// model, or a class target is not one of the model's classes.
  Expected<Plan*> plan(const Dataset::Storage& data);

  /// Forward, loss, backward: adds the batch's gradients to the pending ones, and its metrics to `sum`.
  /// Errors: kInvalidArgument when the output's shape is wrong; kRuntimeError when the loss is not finite.
  /// Nothing but buffers changes then.
  Status backward(Plan& plan, const Batch& batch, std::uint64_t pass, MetricSum& sum);
  /// Optimizer step with the mean of the pending gradients, which are none afterwards.
  void apply(double learning_rate);

  /// Batches whose gradients are pending.
  [[nodiscard]] std::int64_t pending() const noexcept { return pending_batches_; }
  void drop_gradients();
  /// Replaces the pending gradients; in the parameters' order.
  void set_gradients(std::vector<at::Tensor> gradients);
  /// Sums over the pending batches, in the parameters' order; undefined where there is none.
  [[nodiscard]] const std::vector<at::Tensor>& gradient_sums() const noexcept { return pending_; }

  /// Errors: kInterrupted when `stop` was requested; those of check_output.
  Expected<Metrics> evaluate(Plan& plan, const Dataset::Storage& data, const StopToken* stop);

  /// Outputs in evaluation mode. Errors: kInvalidArgument when one is not [N, ...].
  Expected<std::vector<NamedTensor>> predict(const std::vector<NamedTensor>& inputs);

  /// Other hyper-parameters of the optimizer and other clips.
  void configure(const TrainerOptions& options);

  [[nodiscard]] const Model& model() const noexcept { return model_; }
  /// Those that are trained, in the model's order.
  [[nodiscard]] const std::vector<at::Tensor>& parameters() const noexcept { return optimizer_.parameters(); }
  [[nodiscard]] const Optimizer& optimizer() const noexcept { return optimizer_; }
  void set_optimizer(Optimizer optimizer) { optimizer_ = std::move(optimizer); }
  /// The model's tensors as a checkpoint names them: "model.*".
  [[nodiscard]] std::vector<NamedTensor> model_tensors() const;

 private:
  struct Lowered {
    std::vector<ProgramInput> inputs;
    bool without_loss;
    Program program;
  };
  Learner(Model model, const TrainerOptions& options, std::vector<NamedTensor> parameters,
          std::vector<at::Tensor> frozen);
  /// Cached too. Lives as plans do.
  Expected<Program*> program(const std::vector<NamedTensor>& inputs, const std::vector<NamedTensor>& targets,
                             bool without_loss = false);
  Expected<Plan> make_plan(const Dataset::Storage& data);

  Model model_;
  TrainerOptions options_;
  std::vector<ForwardArgument> arguments_;
  Optimizer optimizer_;
  std::vector<at::Tensor> frozen_;
  std::list<Lowered> programs_;
  std::list<Plan> plans_;
  std::vector<at::Tensor> pending_;
  std::int64_t pending_batches_ = 0;
};

}  // namespace wasmgrad::training
