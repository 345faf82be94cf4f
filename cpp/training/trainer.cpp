#include "wasmgrad/training/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "wasmgrad/training/checkpoint.hpp"
#include "wasmgrad/training/compute_scope.hpp"
#include "wasmgrad/training/dataset_storage.hpp"
#include "wasmgrad/training/epoch_batches.hpp"
#include "wasmgrad/training/learner.hpp"
#include "wasmgrad/training/schedule.hpp"
#include "wasmgrad/training/torch_error.hpp"

namespace wasmgrad::training {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kProgressInterval = std::chrono::milliseconds(100);

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

struct Trainer::State {
  State(Learner model_learner, TrainerOptions trainer_options, Observer* run_observer,
        const StopToken* run_stop)
      : learner(std::move(model_learner)),
        options(std::move(trainer_options)),
        threads(options.threads > 0 ? options.threads : usable_threads()),
        observer(run_observer != nullptr ? run_observer : &silent),
        stop(run_stop) {}

  [[nodiscard]] bool stop_requested() const { return stop != nullptr && stop->requested(); }

  [[nodiscard]] double learning_rate(std::int64_t steps_per_epoch) const {
    return options.optimizer.learning_rate *
           schedule_factor(options.schedule, counters.step, steps_per_epoch, options.epochs);
  }

  [[nodiscard]] bool out_of_patience() const {
    return options.early_stopping_patience > 0 && counters.stale_epochs >= options.early_stopping_patience;
  }

  Status check(const Dataset& data, const std::string& what) {
    return learner.check(data.storage().inputs, data.storage().targets, what);
  }

  Expected<Metrics> evaluate(const Dataset& data) {
    return learner.evaluate(data.storage().inputs, data.storage().targets, stop);
  }

  Status prepare(const Dataset& train, const std::optional<Dataset>& validation,
                 const std::optional<Dataset>& test);
  Expected<bool> train_epoch(const Dataset& train, EpochReport& report);
  Status finish_epoch(const std::optional<Dataset>& validation, const std::optional<Dataset>& test,
                      EpochReport& report);
  Status run(const Dataset& train, const std::optional<Dataset>& validation,
             const std::optional<Dataset>& test, const std::function<Status(std::int64_t)>& on_state,
             FitReport& report);

  Observer silent;
  Learner learner;
  TrainerOptions options;
  int threads;
  Observer* observer;
  const StopToken* stop;
  Counters counters;
};

Status Trainer::State::prepare(const Dataset& train, const std::optional<Dataset>& validation,
                               const std::optional<Dataset>& test) {
  WASMGRAD_CHECK(check(train, "train"));
  if (validation) WASMGRAD_CHECK(check(*validation, "validation"));
  if (test) WASMGRAD_CHECK(check(*test, "test"));
  if (counters.batch > 0 && counters.train_samples != train.size()) {
    return Error{Errc::kInvalidArgument,
                 "the run was interrupted within an epoch over " + std::to_string(counters.train_samples) +
                     " samples; it cannot go on with a data set of " + std::to_string(train.size())};
  }
  counters.train_samples = train.size();
  return {};
}

/// Trains from counters.batch to the epoch's end; false when the owner asked to stop before it.
Expected<bool> Trainer::State::train_epoch(const Dataset& train, EpochReport& report) {
  const std::int64_t batches = batches_of(options, train.size());
  const auto start = Clock::now();
  auto last_progress = start;
  const std::int64_t samples_before = counters.sum.samples;
  const auto rate = [&] {
    return static_cast<double>(counters.sum.samples - samples_before) / std::max(seconds_since(start), 1e-9);
  };
  EpochBatches source(train.storage(), options, counters.epoch);
  bool complete = true;
  report.learning_rate = learning_rate(batches);
  while (counters.batch < batches) {
    if (stop_requested()) {
      complete = false;
      break;
    }
    const Batch batch = source.batch(counters.batch);
    report.learning_rate = learning_rate(batches);
    const Status done =
        learner.train_batch(batch.inputs, batch.targets, static_cast<std::uint64_t>(counters.step),
                            report.learning_rate, counters.sum);
    if (!done) {
      return done.error().within("epoch " + std::to_string(counters.epoch + 1) + ", batch " +
                                 std::to_string(counters.batch + 1));
    }
    ++counters.step;
    ++counters.batch;
    if (const auto now = Clock::now(); now - last_progress >= kProgressInterval) {
      last_progress = now;
      const Metrics mean = counters.sum.mean(options.top_k);
      observer->on_progress({counters.epoch + 1, counters.batch, batches, mean.loss, mean.accuracy, rate()});
    }
  }
  report.epoch = counters.epoch + 1;
  report.train = counters.sum.mean(options.top_k);
  report.seconds = seconds_since(start);
  report.samples_per_second = rate();
  return complete;
}

/// Evaluates after a whole epoch and counts it. Nothing is counted when the owner asked to stop meanwhile:
/// the epoch's evaluation is then repeated on resuming.
Status Trainer::State::finish_epoch(const std::optional<Dataset>& validation,
                                    const std::optional<Dataset>& test, EpochReport& report) {
  if (validation) {
    WASMGRAD_ASSIGN(report.validation, evaluate(*validation));
  }
  if (test) {
    WASMGRAD_ASSIGN(report.test, evaluate(*test));
  }
  const double monitored = report.validation ? report.validation->loss : report.train.loss;
  if (monitored < counters.best_loss - options.early_stopping_min_delta) {
    counters.best_loss = monitored;
    counters.stale_epochs = 0;
  } else {
    ++counters.stale_epochs;
  }
  ++counters.epoch;
  counters.batch = 0;
  counters.sum = {};
  return {};
}

Status Trainer::State::run(const Dataset& train, const std::optional<Dataset>& validation,
                           const std::optional<Dataset>& test,
                           const std::function<Status(std::int64_t)>& on_state, FitReport& report) {
  const std::optional<Dataset>& first = test ? test : validation;
  if (counters.step == 0 && first) {
    auto metrics = evaluate(*first);
    if (!metrics) return metrics.error();
    report.initial = *metrics;
    observer->on_initial(*metrics);
  }
  while (counters.epoch < options.epochs && !out_of_patience()) {
    EpochReport epoch;
    WASMGRAD_ASSIGN(const bool complete, train_epoch(train, epoch));
    if (!complete) return Error{Errc::kInterrupted, "the training was interrupted"};
    WASMGRAD_CHECK(finish_epoch(validation, test, epoch));
    report.epochs.push_back(epoch);
    observer->on_epoch(epoch);
    if (on_state) WASMGRAD_CHECK(on_state(counters.epoch));
  }
  report.stopped_early = out_of_patience() && counters.epoch < options.epochs;
  return {};
}

Trainer::Trainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Expected<Trainer> Trainer::create(Model model, TrainerOptions options, Observer* observer,
                                  const StopToken* stop) {
  return guarded("trainer", [&]() -> Expected<Trainer> {
    WASMGRAD_CHECK(validate(options));
    WASMGRAD_ASSIGN(Learner learner, Learner::create(std::move(model), options));
    return Trainer(std::make_unique<State>(std::move(learner), std::move(options), observer, stop));
  });
}

Expected<FitReport> Trainer::fit(const Dataset& train, const std::optional<Dataset>& validation,
                                 const std::optional<Dataset>& test,
                                 const std::function<Status(std::int64_t epoch)>& on_state) {
  State& state = *state_;
  return guarded("training", [&]() -> Expected<FitReport> {
    const ComputeScope scope(state.threads);
    const auto start = Clock::now();
    WASMGRAD_CHECK(state.prepare(train, validation, test));
    FitInfo info;
    info.options = &state.options;
    info.train_samples = train.size();
    info.validation_samples = validation ? validation->size() : 0;
    info.test_samples = test ? test->size() : 0;
    info.parameters = model().parameter_count();
    info.batches = batches_of(state.options, train.size());
    info.start_epoch = state.counters.epoch;
    info.threads = state.threads;
    state.observer->on_fit_begin(info);

    FitReport report;
    const Status done = state.run(train, validation, test, on_state, report);
    if (!done && done.error().code != Errc::kInterrupted) return done.error();
    if (!done) {
      report.interrupted = true;
      if (on_state) WASMGRAD_CHECK(on_state(state.counters.epoch));
    }
    report.seconds = seconds_since(start);
    state.observer->on_fit_end(report);
    return report;
  });
}

Expected<Metrics> Trainer::evaluate(const Dataset& data) {
  return guarded("evaluation", [&]() -> Expected<Metrics> {
    const ComputeScope scope(state_->threads);
    WASMGRAD_CHECK(state_->check(data, "evaluation data"));
    return state_->evaluate(data);
  });
}

Expected<Metrics> Trainer::step(const TensorView& inputs, const TensorView& targets) {
  State& state = *state_;
  return guarded("training step", [&]() -> Expected<Metrics> {
    const ComputeScope scope(state.threads);
    Counters& counters = state.counters;
    const std::int64_t steps_per_epoch = counters.train_samples > 0
                                             ? batches_of(state.options, counters.train_samples)
                                             : state.options.batches_per_epoch.value_or(0);
    if (steps_per_epoch == 0 && needs_epoch_length(state.options.schedule)) {
      return Error{Errc::kInvalidArgument,
                   "the learning-rate schedule counts epochs; set batches per epoch, so that single steps "
                   "know how long one is"};
    }
    WASMGRAD_ASSIGN(const Dataset batch, Dataset::create(inputs, targets, state.options.loss, UINT64_MAX));
    WASMGRAD_CHECK(state.check(batch, "step " + std::to_string(counters.step + 1)));
    MetricSum sum;
    const Status done = state.learner.train_batch(batch.storage().inputs, batch.storage().targets,
                                                  static_cast<std::uint64_t>(counters.step),
                                                  state.learning_rate(steps_per_epoch), sum);
    if (!done) return done.error().within("step " + std::to_string(counters.step + 1));
    ++counters.step;
    return sum.mean(state.options.top_k);
  });
}

Expected<Prediction> Trainer::predict(const TensorView& inputs) {
  return guarded("prediction", [&]() -> Expected<Prediction> {
    if (inputs.shape().empty() || inputs.shape()[0] == 0) {
      return Error{Errc::kInvalidArgument,
                   "inputs have shape " + format_shape(inputs.shape()) + "; at least one sample is needed"};
    }
    const ComputeScope scope(state_->threads);
    WASMGRAD_ASSIGN(const at::Tensor output, state_->learner.predict(copy_of(inputs)));
    const float* values = output.const_data_ptr<float>();
    return Prediction{output.sizes().vec(), {values, values + output.numel()}};
  });
}

Expected<std::vector<std::byte>> Trainer::checkpoint() const {
  return guarded("checkpoint", [&] {
    return write_checkpoint(state_->options, state_->threads, state_->counters, state_->learner.tensors());
  });
}

Status Trainer::restore(std::span<const std::byte> checkpoint) {
  return guarded("checkpoint", [&]() -> Status {
    WASMGRAD_ASSIGN(state_->counters,
                    read_checkpoint(checkpoint, state_->options, state_->threads, state_->learner.tensors()));
    return {};
  });
}

const Model& Trainer::model() const noexcept { return state_->learner.model(); }
const TrainerOptions& Trainer::options() const noexcept { return state_->options; }
std::int64_t Trainer::epoch() const noexcept { return state_->counters.epoch; }

}  // namespace wasmgrad::training
