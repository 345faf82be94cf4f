// What a run tells its owner while it happens. The guest takes no part in it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

/// Means over a pass. Accuracies are fractions in 0..1, present for classification losses.
struct Metrics {
  double loss = std::numeric_limits<double>::quiet_NaN();
  std::optional<double> accuracy;
  std::optional<double> top_k_accuracy;
  std::int64_t samples = 0;
};

struct EpochReport {
  std::int64_t epoch = 0;  ///< 1-based
  Metrics train;           ///< running means while the weights moved
  std::optional<Metrics> validation;
  std::optional<Metrics> test;
  double learning_rate = 0;  ///< at the epoch's last step
  double seconds = 0;        ///< training alone, without evaluation
  double samples_per_second = 0;
};

struct FitReport {
  std::vector<EpochReport> epochs;
  std::optional<Metrics>
      initial;                 ///< on the test set, or the validation set without one, before the first step
  bool stopped_early = false;  ///< by early stopping
  bool interrupted = false;    ///< by the owner; the state is that after the last whole step
  Metrics unfinished;          ///< over the whole steps of an epoch that was interrupted or failed
  std::int64_t epoch = 0;      ///< whole epochs that the trainer has done in all
  std::int64_t step = 0;       ///< optimizer steps that it has done in all
  /// With early stopping: the epoch whose monitored loss (of validation, without it of training) was best,
  /// 1-based, and that loss.
  std::optional<std::int64_t> best_epoch;
  std::optional<double> best_loss;
  bool best_restored = false;  ///< the model has that epoch's weights and buffers
  double seconds = 0;
};

/// Training over a data set ended with an error.
struct TrainingFailure {
  std::int64_t epoch = 0;  ///< 1-based
  std::int64_t batch = 0;  ///< 1-based, of the step that was not done
  std::int64_t steps = 0;  ///< optimizer steps that the call completed before
  bool restored = false;   ///< they were undone; else they are kept
  std::string message;
};

struct FitInfo {
  const TrainerOptions* options = nullptr;
  std::int64_t train_samples = 0;
  std::int64_t validation_samples = 0;
  std::int64_t test_samples = 0;
  std::int64_t parameters = 0;
  std::int64_t batches = 0;      ///< an epoch's steps
  std::int64_t start_epoch = 0;  ///< epochs already done when resuming
  int threads = 0;
};

struct Progress {
  std::int64_t epoch = 0;  ///< 1-based
  std::int64_t batch = 0;  ///< steps done in this epoch
  std::int64_t batches = 0;
  double loss = 0;  ///< mean so far in this epoch
  std::optional<double> accuracy;
  double samples_per_second = 0;
};

/// A stretch of single steps that the guest drove itself.
struct StepsReport {
  std::int64_t step = 0;     ///< optimizer steps done in all
  Metrics train;             ///< means over the steps since the last report
  double learning_rate = 0;  ///< of the last step
};

/// What a guest used in all.
struct Usage {
  std::uint64_t guest_memory_bytes = 0;  ///< its linear memory at the end; it never shrinks
  std::uint64_t host_bytes = 0;  ///< most that the host held for it at once: models, datasets, trainers
  std::uint64_t host_calls = 0;
  std::int64_t steps = 0;    ///< optimizer steps
  std::int64_t samples = 0;  ///< trained on, each as often as it was
  double host_seconds = 0;   ///< inside its calls of the host
  double guest_seconds = 0;  ///< outside of them
};

/// All calls come on the training thread, in order. Implementations must not throw.
class Observer {
 public:
  virtual ~Observer() = default;
  /// A tensor arrived from the guest; `role` is "train images", "train labels", "test images", ...
  virtual void on_tensor(std::string_view role, const TensorView& tensor, double seconds) {
    (void)role, (void)tensor, (void)seconds;
  }
  /// How many classes the guest says there are; 0 for regression. After its tensors, before on_fit_begin().
  virtual void on_classes(std::int64_t classes) { (void)classes; }
  virtual void on_fit_begin(const FitInfo& info) { (void)info; }
  virtual void on_initial(const Metrics& metrics) { (void)metrics; }
  /// At most about ten times a second.
  virtual void on_progress(const Progress& progress) { (void)progress; }
  virtual void on_epoch(const EpochReport& report) { (void)report; }
  /// The guest drives single steps: at most about ten times a second, and before an evaluation or the end.
  virtual void on_steps(const StepsReport& report) { (void)report; }
  /// An evaluation that the guest asked for after `step` optimizer steps.
  virtual void on_evaluation(const Metrics& metrics, std::int64_t step) { (void)metrics, (void)step; }
  /// A figure of the guest's own, any number: what it says, not what the host measured.
  virtual void on_report(std::string_view name, double value) { (void)name, (void)value; }
  virtual void on_checkpoint(std::string_view path, std::int64_t epoch) { (void)path, (void)epoch; }
  virtual void on_fit_end(const FitReport& report) { (void)report; }
  /// In place of on_epoch() and on_fit_end().
  virtual void on_failure(const TrainingFailure& failure) { (void)failure; }
  virtual void on_model_saved(std::string_view path, std::uint64_t bytes) { (void)path, (void)bytes; }
  /// Last, however the guest ended.
  virtual void on_usage(const Usage& usage) { (void)usage; }
  /// Something about a model that its owner would not expect, as one sentence. When its trainer is created.
  virtual void on_warning(std::string_view message) { (void)message; }
};

}  // namespace wasmgrad::training
