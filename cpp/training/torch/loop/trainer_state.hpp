// What a Trainer holds. Torch header, private to training/.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "wasmgrad/training/state/checkpoint.hpp"
#include "wasmgrad/training/torch/loop/best_weights.hpp"
#include "wasmgrad/training/torch/loop/learner.hpp"
#include "wasmgrad/training/torch/loop/replicas.hpp"
#include "wasmgrad/training/torch/loop/torch_trainer.hpp"
#include "wasmgrad/training/torch/memory_cache.hpp"

namespace wasmgrad::training {

using Clock = std::chrono::steady_clock;

/// Least time between two reports of progress to the owner.
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct TorchTrainer::State {
  /// What a call began with, to go back to. A copy of all that training changes.
  class RunStart {
   public:
    RunStart(const State& state, const DataBinding& binding);
    void restore(State& state);

   private:
    StateGuard tensors_;
    BestWeights best_;
    Counters counters_;
    double last_rate_;
    bool epoch_failed_;
  };

  /// While this lives, the model has the weights that the training goes on from. Afterwards it has those of
  /// the best epoch again, if it had them before, unless keep() was called: something was trained.
  class TrainingWeights {
   public:
    explicit TrainingWeights(State& state) : state_(state), showed_(state.best.shown()) {
      if (showed_) state_.best.hide(state_.learner.model_tensors());
    }
    TrainingWeights(const TrainingWeights&) = delete;
    TrainingWeights& operator=(const TrainingWeights&) = delete;
    ~TrainingWeights() {
      if (showed_ && !kept_) state_.best.show(state_.learner.model_tensors());
    }
    void keep() noexcept { kept_ = true; }
    /// Takes keep() back.
    void give_back() noexcept { kept_ = false; }

   private:
    State& state_;
    bool showed_;
    bool kept_ = false;
  };

  State(Learner model_learner, TrainerOptions trainer_options, Observer* run_observer,
        const StopToken* run_stop, const Replication& replication);
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { report_steps(); }

  [[nodiscard]] bool out_of_patience() const {
    return options.early_stopping_patience > 0 && counters.stale_epochs >= options.early_stopping_patience;
  }
  [[nodiscard]] bool stops_early(std::int64_t until_epoch) const {
    return out_of_patience() && counters.epoch < until_epoch;
  }
  [[nodiscard]] bool keeps_best() const {
    return options.early_stopping_patience > 0 && options.early_stopping_restore_best;
  }
  [[nodiscard]] double scheduled_rate(std::int64_t steps_per_epoch) const;
  /// The rate of a step that the caller drives. Errors: kInvalidArgument when nobody said how long an epoch
  /// is.
  [[nodiscard]] Expected<double> rate_of_single_step() const;
  [[nodiscard]] Status check_nothing_pending() const;

  // Together with other processes; alone, these do nothing but what is said.
  /// What must be equal at each step.
  [[nodiscard]] std::uint64_t step_facts(double rate) const;
  /// All have the first process's state, unless they had it and nobody set anything since. Errors:
  /// kInvalidArgument when models or options differ; those of Replicas::meet().
  Status share_state();
  /// How long an epoch is, for all processes together, is known afterwards; `own` says whether this process
  /// is ready. Alone: `own`.
  Status agree_on_epochs(const Dataset& train, const Status& own);
  /// When averages are wanted and one is due, or steps were done since the last `at_end`: the mean of all
  /// processes' parameters; then the metrics since the last average. `own`: what came of the last step.
  Expected<std::optional<MetricSum>> average(const Status& own, double rate, bool at_end);
  /// Alone: evaluates. Errors: kInterrupted; those of Learner::evaluate().
  Expected<Metrics> evaluate(const Dataset& data, const std::string& what);

  // Over datasets.
  /// The binding for this data, whose first batch has shown that it fits the model.
  Expected<DataBinding*> binding(const Dataset& data, const std::string& what, bool training = false);
  Expected<DataBinding*> bind_epochs(const Dataset& train, const std::function<Status()>& also);
  /// The gradients of batches up to `end`, this process's part of them.
  Status gradients_of_group(EpochBatches& source, DataBinding& binding, std::int64_t end, MetricSum& sum);
  Status train_group(EpochBatches& source, DataBinding& binding, double rate);
  Expected<bool> train_batches(const Dataset& train, DataBinding& binding, EpochReport& report);
  void begin_epoch();
  void count_epoch();
  /// Compares the epoch under way with the best one.
  void judge_epoch(const EpochReport& report);
  void complete(FitReport& report);
  Status finish_epoch(const std::optional<Dataset>& validation, const std::optional<Dataset>& test,
                      EpochReport& report);
  Status run(const Dataset& train, const std::optional<Dataset>& validation,
             const std::optional<Dataset>& test, const std::function<Status(std::int64_t)>& on_state,
             std::int64_t until_epoch);

  /// Calls `work`, which trains over datasets. When it fails, tells the owner, and goes back to the state
  /// before it with TrainerOptions::restore_on_error; the error then says what became of the steps.
  Status keep_steps(const DataBinding& binding, const std::function<Status()>& work);

  // Over single batches.
  /// One backward pass, and an optimizer step after it where there is a rate.
  Expected<Metrics> train_batch(std::span<const TensorView> inputs, std::span<const TensorView> targets,
                                std::optional<double> rate);
  Status gradients_of_batch(const DataTensors& data, DataBinding& binding, MetricSum& sum);
  /// `own`: what came of this process's gradients, whose metrics are in `sum`. Then `sum` is that of all.
  Status apply(const Status& own, double rate, MetricSum& sum);
  /// A step with the gradients that the caller added. Those that are lost with a process are dropped.
  Status apply_pending();
  /// Tells the owner of the steps since the last report.
  void report_steps();

  Observer silent;
  MemoryCacheLease memory;  // until the tensors below are gone
  Learner learner;
  const TrainerOptions created_options;
  TrainerOptions options;  ///< with `settings`
  Settings settings;
  int threads;
  Observer* observer;
  const StopToken* stop;
  Replicas replicas;
  bool shared = false;             ///< all processes have the same state
  std::int64_t epoch_batches = 0;  ///< of the data set that is trained on, in all processes together
  std::int64_t epoch_samples = 0;
  Counters counters;
  /// The epoch under way was left by an error, not by the owner: other data may begin it anew.
  bool epoch_failed = false;
  FitReport last_run;
  BestWeights best;
  double last_rate = std::numeric_limits<double>::quiet_NaN();
  MetricSum steps;    ///< not yet reported
  MetricSum pending;  ///< of gradients that are not applied, when several processes will
  Clock::time_point last_report = Clock::now();
};

}  // namespace wasmgrad::training
