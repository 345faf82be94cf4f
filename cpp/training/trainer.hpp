// The training loop: a model, an optimizer and their whole state, stepped over datasets.
//
// Deterministic: the same model, data, options, seed and thread count give bit-identical weights, whether or
// not the run was stopped and resumed from a checkpoint in between. Public header without torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/dataset.hpp"
#include "wasmgrad/training/model.hpp"
#include "wasmgrad/training/observer.hpp"
#include "wasmgrad/training/options.hpp"

namespace wasmgrad::training {

/// A dense f32 result, row-major.
struct Prediction {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

class Trainer {
 public:
  /// Errors: those of validate(); kInvalidArgument when the model has no trainable parameter.
  /// `observer` and `stop` may be null and must outlive the trainer.
  static Expected<Trainer> create(Model model, TrainerOptions options, Observer* observer = nullptr,
                                  const StopToken* stop = nullptr);
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  /// Trains up to options.epochs, counting those done before a restore. After each epoch, and once when
  /// interrupted, `on_state` is called (to write a checkpoint); an error from it ends the run. Errors:
  /// kInvalidArgument when the data does not fit the model (the shapes are named) or a label is outside the
  /// model's classes; kRuntimeError when the loss is not finite.
  Expected<FitReport> fit(const Dataset& train, const std::optional<Dataset>& validation,
                          const std::optional<Dataset>& test,
                          const std::function<Status(std::int64_t epoch)>& on_state = {});

  /// Loss and accuracy in evaluation mode, without touching the training state.
  Expected<Metrics> evaluate(const Dataset& data);

  /// One optimizer step on a batch given by the caller.
  Expected<Metrics> step(const TensorView& inputs, const TensorView& targets);

  /// The model's output in evaluation mode for [N, ...] inputs.
  Expected<Prediction> predict(const TensorView& inputs);

  /// The whole state as one safetensors file: parameters, buffers, optimizer, counters, random state, options
  /// that must agree.
  [[nodiscard]] Expected<std::vector<std::byte>> checkpoint() const;
  /// Errors: kInvalidEncoding when it is not such a file or is damaged; kInvalidArgument when a tensor's
  /// name, shape or dtype, the optimizer, the seed or the thread count differ. The trainer is unchanged then.
  Status restore(std::span<const std::byte> checkpoint);

  [[nodiscard]] const Model& model() const noexcept;
  [[nodiscard]] const TrainerOptions& options() const noexcept;
  /// Whole epochs done.
  [[nodiscard]] std::int64_t epoch() const noexcept;

 private:
  struct State;
  explicit Trainer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wasmgrad::training
