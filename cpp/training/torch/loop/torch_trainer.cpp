// A trainer over datasets: epochs, evaluations, early stopping.
#include "wasmgrad/training/torch/loop/torch_trainer.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "wasmgrad/training/torch/compute_scope.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"
#include "wasmgrad/training/torch/data/epoch_batches.hpp"
#include "wasmgrad/training/loop/schedule.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"
#include "wasmgrad/training/torch/loop/trainer_state.hpp"

namespace wasmgrad::training {

namespace {

std::int64_t steps_of(const TrainerOptions& options, std::int64_t samples) {
  return (batches_of(options, samples) + options.accumulate - 1) / options.accumulate;
}

/// All that training over this plan changes.
lowering::WrittenState everything(const Learner& learner, const Plan& plan) {
  lowering::WrittenState state = plan.program.written();
  for (const at::Tensor& parameter : learner.parameters()) state.tensors.push_back(parameter);
  for (const NamedTensor& entry : learner.optimizer().state()) state.tensors.push_back(entry.tensor);
  return state;
}

}  // namespace

TorchTrainer::State::State(Learner model_learner, TrainerOptions trainer_options, Observer* run_observer,
                      const StopToken* run_stop)
    : learner(std::move(model_learner)),
      created_options(trainer_options),
      options(std::move(trainer_options)),
      threads(options.threads > 0 ? static_cast<int>(options.threads) : usable_threads()),
      observer(run_observer != nullptr ? run_observer : &silent),
      stop(run_stop) {}

TorchTrainer::State::RunStart::RunStart(const State& state, const Plan& plan)
    : tensors_(everything(state.learner, plan)),
      best_(state.best),
      counters_(state.counters),
      last_rate_(state.last_rate),
      epoch_failed_(state.epoch_failed) {
  tensors_.keep();
}

void TorchTrainer::State::RunStart::restore(State& state) {
  tensors_.restore();
  state.best = best_;
  state.counters = counters_;
  state.last_rate = last_rate_;
  state.epoch_failed = epoch_failed_;
}

double TorchTrainer::State::scheduled_rate(std::int64_t steps_per_epoch) const {
  return options.optimizer.learning_rate *
         schedule_factor(options.schedule, counters.step, steps_per_epoch, options.epochs);
}

Expected<double> TorchTrainer::State::rate_of_single_step() const {
  if (!needs_epoch_length(options.schedule)) return scheduled_rate(1);
  if (counters.train_samples > 0) return scheduled_rate(steps_of(options, counters.train_samples));
  if (options.batches_per_epoch) {
    const std::int64_t group = options.accumulate;
    return scheduled_rate((*options.batches_per_epoch + group - 1) / group);
  }
  return Error{Errc::kInvalidArgument,
               "the learning-rate schedule counts epochs; set batches per epoch, so that single steps know "
               "how long one is"};
}

Status TorchTrainer::State::check_nothing_pending() const {
  if (learner.pending() == 0) return {};
  return Error{Errc::kInvalidArgument, "gradients of " + std::to_string(learner.pending()) +
                                           " batches are pending; apply them first"};
}

Expected<Plan*> TorchTrainer::State::plan(const Dataset& data, const std::string& what, bool training) {
  if (data.size() == 0)
    return Error{Errc::kInvalidArgument, what + ": the data set is empty; at least one sample is needed"};
  const DataTensors rows(data);
  auto plan = learner.plan(rows);
  if (!plan) return plan.error().within(what);
  const Status fits = learner.rehearse(*plan.value(), rows, training);
  if (!fits) return fits.error().within(what);
  return plan;
}

/// Whether epochs over this data may begin, or go on.
Expected<Plan*> TorchTrainer::State::plan_epochs(const Dataset& train) {
  WASMGRAD_CHECK(check_nothing_pending());
  WASMGRAD_ASSIGN(Plan * plan, this->plan(train, "train", true));
  if (counters.batch > 0 && counters.train_samples != train.size()) {
    if (epoch_failed) {
      begin_epoch();
      return plan;
    }
    return Error{Errc::kInvalidArgument,
                 "the run was interrupted within an epoch over " + std::to_string(counters.train_samples) +
                     " samples; it cannot go on with a data set of " + std::to_string(train.size())};
  }
  return plan;
}

/// One optimizer step of an epoch, over `accumulate` batches or those that are left.
Status TorchTrainer::State::train_group(EpochBatches& source, Plan& plan, std::int64_t batches, double rate) {
  const Counters before = counters;
  const std::int64_t end = std::min(batches, counters.batch + options.accumulate);
  Learner::Attempt attempt(learner, plan);
  const auto where = [&] {
    return "epoch " + std::to_string(counters.epoch + 1) + ", batch " + std::to_string(counters.batch + 1);
  };
  try {
    Status done;
    while (done && counters.batch < end) {
      done = learner.backward(plan, source.batch(counters.batch), static_cast<std::uint64_t>(counters.passes),
                              counters.sum);
      if (!done) break;
      ++counters.passes;
      ++counters.batch;
    }
    if (done) done = apply(rate);
    if (!done) {
      const Error error = done.error().within(where());
      counters = before;
      return error;
    }
  } catch (...) {
    const Error error = current_error(where());
    counters = before;
    return error;
  }
  attempt.keep();
  return {};
}

/// Trains from counters.batch to the epoch's end; false when the owner asked to stop before it.
Expected<bool> TorchTrainer::State::train_batches(const Dataset& train, Plan& plan, EpochReport& report) {
  const std::int64_t batches = batches_of(options, train.size());
  const std::int64_t steps_per_epoch = steps_of(options, train.size());
  counters.train_samples = train.size();
  const auto start = Clock::now();
  auto last_progress = start;
  const std::int64_t samples_before = counters.sum.samples;
  const auto samples_per_second = [&] {
    return static_cast<double>(counters.sum.samples - samples_before) / std::max(seconds_since(start), 1e-9);
  };
  const DataTensors rows(train);
  EpochBatches source = EpochBatches::of_epoch(rows, options, counters.epoch);
  bool complete = true;
  report.learning_rate = scheduled_rate(steps_per_epoch);
  while (counters.batch < batches) {
    if (stop_requested()) {
      complete = false;
      break;
    }
    report.learning_rate = scheduled_rate(steps_per_epoch);
    WASMGRAD_CHECK(train_group(source, plan, batches, report.learning_rate));
    if (const auto now = Clock::now(); now - last_progress >= kProgressInterval) {
      last_progress = now;
      const Metrics mean = counters.sum.mean(options.top_k);
      observer->on_progress(
          {counters.epoch + 1, counters.batch, batches, mean.loss, mean.accuracy, samples_per_second()});
    }
  }
  report.epoch = counters.epoch + 1;
  report.train = counters.sum.mean(options.top_k);
  report.seconds = seconds_since(start);
  report.samples_per_second = samples_per_second();
  return complete;
}

void TorchTrainer::State::begin_epoch() {
  counters.batch = 0;
  counters.sum = {};
  epoch_failed = false;
}

void TorchTrainer::State::count_epoch() {
  ++counters.epoch;
  begin_epoch();
}

Status TorchTrainer::State::keep_steps(const Plan& plan, const std::function<Status()>& work) {
  const std::int64_t steps_before = counters.step;
  TrainingWeights weights(*this);
  std::optional<RunStart> start;
  if (options.restore_on_error) start.emplace(*this, plan);
  last_run = {};
  Status done;
  try {
    done = work();
  } catch (...) {
    done = current_error("training");
  }
  if (counters.batch > 0) last_run.unfinished = counters.sum.mean(options.top_k);
  if (counters.step > steps_before) weights.keep();
  if (done || done.error().code == Errc::kInterrupted) return done;
  TrainingFailure failure{counters.epoch + 1, counters.batch + 1, counters.step - steps_before,
                          start.has_value(), done.error().message};
  epoch_failed = true;
  if (start) {
    start->restore(*this);
    weights.give_back();
    last_run = {};
  }
  observer->on_failure(failure);
  const std::string steps = failure.steps == 0   ? "no step"
                            : failure.steps == 1 ? "1 step"
                                                 : std::to_string(failure.steps) + " steps";
  return Error{done.error().code, failure.message + "; " + steps + " of this call " +
                                      (failure.steps < 2 ? "was" : "were") + " completed" +
                                      (failure.steps == 0 ? ""
                                       : start            ? " and undone"
                                                          : " and kept")};
}

/// Evaluates after a whole epoch and counts it. Nothing is counted when the owner asked to stop meanwhile:
/// the epoch's evaluation is then repeated on resuming.
Status TorchTrainer::State::finish_epoch(const std::optional<Dataset>& validation,
                                    const std::optional<Dataset>& test, EpochReport& report) {
  if (validation) {
    WASMGRAD_ASSIGN(Plan * plan, this->plan(*validation, "validation"));
    WASMGRAD_ASSIGN(report.validation, learner.evaluate(*plan, DataTensors(*validation), stop));
  }
  if (test) {
    WASMGRAD_ASSIGN(Plan * plan, this->plan(*test, "test"));
    WASMGRAD_ASSIGN(report.test, learner.evaluate(*plan, DataTensors(*test), stop));
  }
  judge_epoch(report);
  count_epoch();
  return {};
}

void TorchTrainer::State::judge_epoch(const EpochReport& report) {
  const double monitored = report.validation ? report.validation->loss : report.train.loss;
  if (monitored < counters.best_loss - options.early_stopping_min_delta) {
    counters.best_loss = monitored;
    counters.best_epoch = counters.epoch + 1;
    counters.stale_epochs = 0;
    if (keeps_best()) best.keep(learner.model_tensors());
  } else {
    ++counters.stale_epochs;
  }
}

/// What a fit that ended has to say, and the weights that it leaves.
void TorchTrainer::State::complete(FitReport& report) {
  report.epoch = counters.epoch;
  report.step = counters.step;
  if (options.early_stopping_patience > 0 && counters.best_epoch > 0) {
    report.best_epoch = counters.best_epoch;
    report.best_loss = counters.best_loss;
  }
  if (report.stopped_early && keeps_best()) best.show(learner.model_tensors());
  report.best_restored = best.shown();
}

Status TorchTrainer::State::run(const Dataset& train, const std::optional<Dataset>& validation,
                           const std::optional<Dataset>& test,
                           const std::function<Status(std::int64_t)>& on_state, std::int64_t until_epoch) {
  FitReport& report = last_run;
  const std::optional<Dataset>& first = test ? test : validation;
  if (counters.step == 0 && first) {
    WASMGRAD_ASSIGN(Plan * plan, this->plan(*first, test ? "test" : "validation"));
    WASMGRAD_ASSIGN(report.initial, learner.evaluate(*plan, DataTensors(*first), stop));
    observer->on_initial(*report.initial);
  }
  while (counters.epoch < until_epoch && !out_of_patience()) {
    EpochReport epoch;
    WASMGRAD_ASSIGN(Plan * plan, this->plan(train, "train", true));
    WASMGRAD_ASSIGN(const bool complete, train_batches(train, *plan, epoch));
    if (!complete) return Error{Errc::kInterrupted, "the training was interrupted"};
    WASMGRAD_CHECK(finish_epoch(validation, test, epoch));
    report.epochs.push_back(epoch);
    observer->on_epoch(epoch);
    // Early stopping changes what a checkpoint holds: the last one is offered when it has.
    if (on_state && !stops_early(until_epoch)) WASMGRAD_CHECK(on_state(counters.epoch));
  }
  report.stopped_early = stops_early(until_epoch);
  return {};
}

TorchTrainer::TorchTrainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
TorchTrainer::TorchTrainer(TorchTrainer&&) noexcept = default;
TorchTrainer& TorchTrainer::operator=(TorchTrainer&&) noexcept = default;
TorchTrainer::~TorchTrainer() = default;

Expected<TorchTrainer> TorchTrainer::create(TorchModel model, TrainerOptions options, Observer* observer,
                                  const StopToken* stop) {
  return guarded("trainer", [&]() -> Expected<TorchTrainer> {
    WASMGRAD_CHECK(validate(options));
    WASMGRAD_ASSIGN(Learner learner, Learner::create(std::move(model), options));
    auto state = std::make_unique<State>(std::move(learner), std::move(options), observer, stop);
    const TorchModel::Storage& trained = state->learner.model().storage();
    for (const std::string& warning : trained.warnings)
      state->observer->on_warning("model '" + trained.name + "': " + warning);
    return TorchTrainer(std::move(state));
  });
}

Expected<FitReport> TorchTrainer::fit(const Dataset& train, const std::optional<Dataset>& validation,
                                      const std::optional<Dataset>& test, const OnState& on_state,
                                      std::optional<std::int64_t> more_epochs) {
  State& state = *state_;
  return guarded("training", [&]() -> Expected<FitReport> {
    const ComputeScope scope(state.threads);
    const auto start = Clock::now();
    WASMGRAD_ASSIGN(Plan * plan, state.plan_epochs(train));
    if (validation) WASMGRAD_CHECK(state.plan(*validation, "validation"));
    if (test) WASMGRAD_CHECK(state.plan(*test, "test"));
    state.report_steps();
    TrainerOptions shown = state.options;
    if (more_epochs) shown.epochs = state.counters.epoch + *more_epochs;
    FitInfo info;
    info.options = &shown;
    info.train_samples = train.size();
    info.validation_samples = validation ? validation->size() : 0;
    info.test_samples = test ? test->size() : 0;
    info.parameters = static_cast<std::int64_t>(parameter_bytes() / sizeof(float));
    info.batches = batches_of(state.options, train.size());
    info.start_epoch = state.counters.epoch;
    info.threads = state.threads;
    state.observer->on_fit_begin(info);

    const Status done =
        state.keep_steps(*plan, [&] { return state.run(train, validation, test, on_state, shown.epochs); });
    FitReport& report = state.last_run;
    if (!done && done.error().code != Errc::kInterrupted) return done.error();
    report.interrupted = !done;
    state.complete(report);
    const bool unsaved = report.interrupted || (report.stopped_early && !report.epochs.empty());
    if (on_state && unsaved) WASMGRAD_CHECK(on_state(state.counters.epoch));
    report.seconds = seconds_since(start);
    state.observer->on_fit_end(report);
    return report;
  });
}

Expected<EpochReport> TorchTrainer::train_epoch(const Dataset& train) {
  State& state = *state_;
  return guarded("training", [&]() -> Expected<EpochReport> {
    const ComputeScope scope(state.threads);
    WASMGRAD_ASSIGN(Plan * plan, state.plan_epochs(train));
    state.report_steps();
    EpochReport report;
    WASMGRAD_CHECK(state.keep_steps(*plan, [&]() -> Status {
      WASMGRAD_ASSIGN(const bool complete, state.train_batches(train, *plan, report));
      if (!complete) return Error{Errc::kInterrupted, "the training was interrupted"};
      state.count_epoch();
      return {};
    }));
    state.observer->on_epoch(report);
    return report;
  });
}

Expected<Metrics> TorchTrainer::evaluate(const Dataset& data) {
  State& state = *state_;
  return guarded("evaluation", [&]() -> Expected<Metrics> {
    const ComputeScope scope(state.threads);
    WASMGRAD_ASSIGN(Plan * plan, state.plan(data, "evaluation data"));
    state.report_steps();
    WASMGRAD_ASSIGN(const Metrics metrics, state.learner.evaluate(*plan, DataTensors(data), state.stop));
    state.observer->on_evaluation(metrics, state.counters.step);
    return metrics;
  });
}

const FitReport& TorchTrainer::last_run() const noexcept { return state_->last_run; }
const Model& TorchTrainer::model() const noexcept { return state_->learner.model(); }
const TrainerOptions& TorchTrainer::options() const noexcept { return state_->options; }
std::int64_t TorchTrainer::epoch() const noexcept { return state_->counters.epoch; }
std::int64_t TorchTrainer::steps() const noexcept { return state_->counters.step; }
std::int64_t TorchTrainer::batch() const noexcept { return state_->counters.batch; }
std::optional<std::int64_t> TorchTrainer::best_epoch() const noexcept {
  return state_->counters.best_epoch > 0 ? std::optional(state_->counters.best_epoch) : std::nullopt;
}
double TorchTrainer::best_loss() const noexcept { return state_->counters.best_loss; }
bool TorchTrainer::shows_best() const noexcept { return state_->best.shown(); }
double TorchTrainer::learning_rate() const noexcept { return state_->last_rate; }

}  // namespace wasmgrad::training
