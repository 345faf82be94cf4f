// The training loop: a model, an optimizer and their whole state, stepped over datasets or batches.
//
// Deterministic: the same model, data, options, seed and thread count give bit-identical weights, whether or
// not the run was stopped and resumed from a checkpoint in between, and whether fit() or single steps drove
// it over the same batches. A step happens whole or not at all: after an error parameters, buffers, optimizer
// and counters are as they were before the step that failed. Only training changes buffers of the model;
// evaluations and predictions leave them alone.
//
// Tensors are matched with the arguments of the model's forward (inputs) and its outputs (targets) by name;
// when no tensor of a list has a name, or with TrainerOptions::by_position, by position. Targets then belong,
// in order, to the outputs that have a loss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/data/dataset.hpp"
#include "wasmgrad/training/loop/observer.hpp"
#include "wasmgrad/training/model/model.hpp"
#include "wasmgrad/training/model/output.hpp"
#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

class Trainer {
 public:
  Trainer() = default;
  virtual ~Trainer() = default;

  using OnState = std::function<Status(std::int64_t epoch)>;

  // ---- Over datasets ----

  /// When early stopping ends it, the model has the weights and buffers of the best epoch unless
  /// early_stopping_restore_best is off: evaluate(), predict(), parameters() and the model's own save() show
  /// them. The training itself is where it was: whatever trains next goes on from the last epoch's weights,
  /// as it does from a checkpoint, which holds both.
  ///
  /// Trains `more_epochs` epochs, or up to options().epochs in all (counting those done before a restore)
  /// when absent, unless early stopping ends it sooner. After each epoch, and once when interrupted,
  /// `on_state` is called (to write a checkpoint); an error from it ends the run. A request to stop is no
  /// error: FitReport::interrupted. Errors: kInvalidArgument when the data does not fit the model (the shapes
  /// are named), a label is not one of the model's classes, or gradients are pending; kRuntimeError when the
  /// loss or a gradient is not finite. Steps completed before an error are kept, unless
  /// TrainerOptions::restore_on_error undoes them; the error says how many. The next call goes on at the
  /// batch that failed, or begins the epoch anew when its data set has another size.
  virtual Expected<FitReport> fit(const Dataset& train, const std::optional<Dataset>& validation,
                                  const std::optional<Dataset>& test, const OnState& on_state,
                                  std::optional<std::int64_t> more_epochs) = 0;
  /// Up to options().epochs in all.
  Expected<FitReport> fit(const Dataset& train, const std::optional<Dataset>& validation,
                          const std::optional<Dataset>& test, const OnState& on_state = {}) {
    return fit(train, validation, test, on_state, std::nullopt);
  }

  /// Trains one epoch, without evaluation; early stopping takes no notice. Errors: those of fit();
  /// kInterrupted when the owner asked to stop: the next epoch then goes on where this one stopped.
  virtual Expected<EpochReport> train_epoch(const Dataset& train) = 0;

  /// Loss and accuracy in evaluation mode over batches of options().batch_size, without touching the training
  /// state. Errors: kInvalidArgument as fit(); kInterrupted.
  virtual Expected<Metrics> evaluate(const Dataset& data) = 0;

  // ---- Over batches of the caller; the views are read during the call only ----

  /// backward(), then apply().
  virtual Expected<Metrics> step(std::span<const TensorView> inputs, std::span<const TensorView> targets) = 0;

  /// Adds the gradient of the batch's mean loss to the pending gradients. Errors: as fit().
  virtual Expected<Metrics> backward(std::span<const TensorView> inputs,
                                     std::span<const TensorView> targets) = 0;

  /// One optimizer step with the mean of the pending gradients, which are none afterwards. Errors:
  /// kInvalidArgument when none are pending, or when the schedule counts epochs and nobody said how long one
  /// is (batches_per_epoch, or an epoch over a dataset before).
  virtual Status apply() = 0;

  /// The model's outputs in evaluation mode for [N, ...] inputs, computed as one batch unless
  /// TrainerOptions::predict_batch_size cuts it. Errors: kInvalidArgument when the model does not take them,
  /// or an output of a cut batch does not have a row a sample; kTooLarge when memory ran out;
  /// kUnsupportedOperation when an output's type has no DType.
  virtual Expected<std::vector<Output>> predict(std::span<const TensorView> inputs) = 0;

  // ---- Hyper-parameters, parameters, gradients ----

  /// Changes one of kSettings from the next step on. A learning rate replaces the base rate, which the
  /// schedule still scales; 0 turns a clip off; a momentum of 0 drops its buffers. Checkpoints keep it.
  /// Errors: kNotFound for another key, kInvalidArgument for a value that validate() refuses.
  virtual Status set(std::string_view key, double value) = 0;

  /// Trainable scalars that are not frozen, times 4: the size of the four that follow, which exchange f32
  /// values, one parameter after the other in the model's order. Their buffers need no alignment.
  [[nodiscard]] virtual std::uint64_t parameter_bytes() const noexcept = 0;

  /// Errors of all four: kInvalidArgument when the size is not parameter_bytes(), or a value that is set is
  /// not finite (its index is named).
  virtual Status parameters(std::span<std::byte> to) const = 0;
  /// The optimizer's state stays. While best weights are shown, the training then goes on from what is shown
  /// and set.
  virtual Status set_parameters(std::span<const std::byte> values) = 0;
  /// The mean of the pending gradients; 0 where there are none.
  virtual Status gradients(std::span<std::byte> to) const = 0;
  /// Replaces the pending gradients, as if one backward() had given them.
  virtual Status set_gradients(std::span<const std::byte> values) = 0;

  /// Scalars of the model's buffers of floating point (running statistics of batch norm), times 4: the size
  /// of the two that follow, which exchange them as parameters are exchanged.
  [[nodiscard]] virtual std::uint64_t buffer_bytes() const = 0;
  /// Errors: kInvalidArgument as for parameters.
  virtual Status buffers(std::span<std::byte> to) const = 0;
  /// Where a value is what buffers() gives now, the buffer keeps its bits, whatever its type. Errors:
  /// kInvalidArgument for another size, or a value that is not finite where the buffer holds another.
  virtual Status set_buffers(std::span<const std::byte> values) = 0;

  // ---- The model's tensors by name ----

  /// All parameters, frozen ones too, and all buffers, in their own types (truth values as u8). Errors:
  /// kUnsupportedOperation when a type has no DType.
  [[nodiscard]] virtual Expected<std::vector<Output>> state() const = 0;
  /// Replaces them all; types are converted as PyTorch's copy_ does. The optimizer's state stays. Errors:
  /// kInvalidArgument, naming the tensor, when one is missing, unknown, given twice, of another shape, or not
  /// finite and trained. Nothing has changed then.
  virtual Status set_state(std::span<const TensorView> tensors) = 0;

  // ---- State ----

  /// The whole state as one safetensors file: parameters, buffers, optimizer, counters, what was set, options
  /// that must agree. Errors: kInvalidArgument while gradients are pending: they are not part of it.
  [[nodiscard]] virtual Expected<std::vector<std::byte>> checkpoint() const = 0;
  /// Pending gradients are dropped. Errors: kInvalidEncoding when it is not such a file or is damaged;
  /// kInvalidArgument when a tensor's name, shape or type, the optimizer, the losses, the frozen parameters,
  /// the seed or the thread count differ. The trainer is unchanged then.
  virtual Status restore(std::span<const std::byte> checkpoint) = 0;

  /// What the last fit() or train_epoch() did, also when it failed: its whole epochs (of a fit()), and
  /// `unfinished`.
  [[nodiscard]] virtual const FitReport& last_run() const noexcept = 0;
  [[nodiscard]] virtual const Model& model() const noexcept = 0;
  /// With what was set.
  [[nodiscard]] virtual const TrainerOptions& options() const noexcept = 0;
  /// Whole epochs done.
  [[nodiscard]] virtual std::int64_t epoch() const noexcept = 0;
  /// Optimizer steps done.
  [[nodiscard]] virtual std::int64_t steps() const noexcept = 0;
  /// Batches done in the epoch under way, when one was interrupted.
  [[nodiscard]] virtual std::int64_t batch() const noexcept = 0;
  /// The epoch of fit() whose monitored loss was best, 1-based; none before the first.
  [[nodiscard]] virtual std::optional<std::int64_t> best_epoch() const noexcept = 0;
  /// Its loss; infinity without one.
  [[nodiscard]] virtual double best_loss() const noexcept = 0;
  /// Whether the model has that epoch's weights, because early stopping ended the last fit().
  [[nodiscard]] virtual bool shows_best() const noexcept = 0;
  /// The rate of the last optimizer step; NaN before the first of this trainer.
  [[nodiscard]] virtual double learning_rate() const noexcept = 0;
  /// Host memory of the optimizer's state, of gradients at their most, of the best weights that early
  /// stopping keeps and of what TrainerOptions::restore_on_error does; the model's own is not in it.
  [[nodiscard]] virtual std::uint64_t state_bytes() const noexcept = 0;

 protected:
  Trainer(Trainer&&) = default;
  Trainer& operator=(Trainer&&) = default;
};

/// "step 96 (3 whole epochs)", or "step 98 (3 whole epochs and 2 batches)": where it stands, for a sentence.
std::string progress_text(const Trainer& trainer);

}  // namespace wasmgrad::training
