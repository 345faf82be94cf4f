// One model and its optimizer: gradients of a batch, an optimizer step, an evaluation, a prediction. Torch
// header, private to training/.
//
// It must not know epochs, schedules, observers or checkpoints.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/loop/metrics.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"
#include "wasmgrad/training/torch/data/epoch_batches.hpp"
#include "wasmgrad/training/torch/loop/binding.hpp"
#include "wasmgrad/training/torch/loop/optimizer.hpp"
#include "wasmgrad/training/torch/loop/state_guard.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/model/program.hpp"

namespace wasmgrad::training {

/// What a column is but for its rows.
struct ColumnType {
  std::string name;
  at::ScalarType type;
  std::vector<std::int64_t> row_shape;
  bool operator==(const ColumnType&) const = default;
};

/// How data with certain columns meets the model. Made once for them.
struct DataBinding {
  std::vector<ColumnType> inputs, targets;
  Program program;
  bool bound = false;                 ///< what follows is known: the model's outputs were seen
  std::vector<BoundLoss> losses;      ///< empty for a model that computes its own
  std::vector<std::int64_t> classes;  ///< of each loss; 0 for regression
};

/// The exception being handled, which the model threw for such inputs: their shapes, and the reason.
Error refused_inputs(std::span<const at::Tensor> inputs);

class Learner {
 public:
  /// What backward() and a failing apply() may change is put back when this ends, unless it is kept: buffers
  /// and pending gradients.
  class Attempt {
   public:
    Attempt(Learner& learner, const DataBinding& binding);
    Attempt(const Attempt&) = delete;
    Attempt& operator=(const Attempt&) = delete;
    ~Attempt();
    void keep() noexcept;

   private:
    Learner& learner_;
    StateGuard buffers_;
    std::vector<at::Tensor> gradients_;
    std::int64_t batches_;
    double weight_;
    bool kept_ = false;
  };

  /// Gives the model the branches that `lora` asks for, which are then all that is trained. Errors:
  /// kInvalidArgument when no parameter is trainable, a trainable one is not f32, a pattern of `freeze`
  /// matches nothing or all are frozen, a scale is for no argument of forward, and those of add_adapters().
  static Expected<Learner> create(TorchModel model, const TrainerOptions& options);

  /// The binding for data with these columns. It lives until dozens of others were asked for. Its first batch
  /// binds it. Errors: kInvalidArgument when the columns are not arguments of the model, or, where the
  /// binding is bound, a class target is not one of the model's classes.
  Expected<DataBinding*> binding(const DataTensors& data);

  /// Binds a binding that is not yet by a forward pass over the first batch, in training or evaluation mode,
  /// which leaves no trace. Errors: kInvalidArgument when the data does not fit the model, or a class target
  /// is not one of the model's classes.
  Status rehearse(DataBinding& binding, const DataTensors& data, bool training);

  /// Forward, loss, backward: adds the gradients of the batch, times its weight in their mean, to the pending
  /// ones, and its metrics to `sum`. Errors: kInvalidArgument when the batch does not fit the model;
  /// kRuntimeError when the loss or a gradient is not finite. An Attempt takes back what it changed until
  /// then.
  Status backward(DataBinding& binding, const Batch& batch, StepRandom random, double weight, MetricSum& sum);
  /// Counts a batch of which no row is this process's.
  void skip_batch() noexcept { ++pending_batches_; }
  /// Optimizer step with the mean of the pending gradients, which are none afterwards. Errors: kRuntimeError
  /// when one is not finite; nothing has changed then.
  Status apply(double learning_rate);

  /// Batches whose gradients are pending.
  [[nodiscard]] std::int64_t pending() const noexcept { return pending_batches_; }
  /// The sum of their weights.
  [[nodiscard]] double pending_weight() const noexcept { return pending_weight_; }
  void drop_gradients();
  /// Replaces the pending gradients; in the parameters' order.
  void set_gradients(std::vector<at::Tensor> gradients);
  /// Replaces the pending batches' sums by those of all processes, whose weights' sum is `weight`.
  void set_sums(std::vector<at::Tensor> gradients, double weight);
  /// Sums over the pending batches, in the parameters' order; undefined where there is none.
  [[nodiscard]] const std::vector<at::Tensor>& gradient_sums() const noexcept { return pending_; }
  /// What the programs that were bound for training may write besides parameters: batch statistics and the
  /// like, each once, in an order that follows from the model.
  [[nodiscard]] std::vector<at::Tensor> written() const;

  /// Adds the metrics of this process's part of the batches to `sum`. Errors: kInterrupted when `stop` was
  /// requested; those of check_output.
  Status evaluate(DataBinding& binding, const DataTensors& data, const StopToken* stop,
                  const Dealing& dealing, MetricSum& sum);

  /// Outputs in evaluation mode, of one batch unless TrainerOptions::predict_batch_size cuts it. Errors:
  /// kInvalidArgument when the model does not take the inputs, or an output of a cut one is not [N, ...];
  /// kTooLarge when memory ran out.
  Expected<std::vector<NamedTensor>> predict(const std::vector<NamedTensor>& inputs);

  /// Other hyper-parameters of the optimizer and other clips.
  void configure(const TrainerOptions& options);

  [[nodiscard]] const TorchModel& model() const noexcept { return model_; }
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
  Learner(TorchModel model, const TrainerOptions& options, std::vector<NamedTensor> parameters,
          std::vector<at::Tensor> frozen);
  /// create(), once the model has its low-rank branches.
  static Expected<Learner> create_over(TorchModel model, const TrainerOptions& options);
  /// Cached too. Lives as bindings do.
  Expected<Program*> program(const std::vector<NamedTensor>& inputs, const std::vector<NamedTensor>& targets,
                             bool without_loss = false);
  Status bind(DataBinding& binding, const std::vector<NamedTensor>& outputs, const Batch& batch) const;
  Status add_gradients();
  [[nodiscard]] Status check_finite(std::size_t parameter, const at::Tensor& gradient) const;
  static Expected<std::vector<NamedTensor>> predict_batch(Program& program,
                                                          const std::vector<NamedTensor>& inputs,
                                                          std::int64_t begin, std::int64_t count);

  TorchModel model_;
  TrainerOptions options_;
  std::vector<ForwardArgument> arguments_;
  Optimizer optimizer_;
  std::vector<at::Tensor> frozen_;
  HeldParts held_;
  std::list<Lowered> programs_;
  std::list<DataBinding> bindings_;
  std::vector<at::Tensor> pending_;
  std::int64_t pending_batches_ = 0;
  double pending_weight_ = 0;
  bool pending_may_be_infinite_ = false;  ///< a clip by value was on when they were added
  bool pending_may_overflow_ = false;     ///< they are sums that nobody looked at
};

}  // namespace wasmgrad::training
