#include "wasmgrad/training/torch/loop/trainer_state.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "wasmgrad/training/loop/schedule.hpp"
#include "wasmgrad/training/torch/compute_scope.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"
#include "wasmgrad/training/torch/data/epoch_batches.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

std::int64_t steps_of(const TrainerOptions& options, std::int64_t batches) {
  return (batches + options.accumulate - 1) / options.accumulate;
}

/// All that training over this binding changes.
lowering::WrittenState everything(const Learner& learner, const DataBinding& binding) {
  lowering::WrittenState state = binding.program.written();
  for (const at::Tensor& parameter : learner.parameters()) state.tensors.push_back(parameter);
  for (const NamedTensor& entry : learner.optimizer().state()) state.tensors.push_back(entry.tensor);
  return state;
}

}  // namespace

TorchTrainer::State::State(Learner model_learner, TrainerOptions trainer_options, Observer* run_observer,
                           const StopToken* run_stop, const Replication& replication)
    : learner(std::move(model_learner)),
      created_options(trainer_options),
      options(std::move(trainer_options)),
      threads(options.threads > 0 ? static_cast<int>(options.threads) : usable_threads()),
      observer(run_observer != nullptr ? run_observer : &silent),
      stop(run_stop),
      replicas(replication, run_stop) {}

TorchTrainer::State::RunStart::RunStart(const State& state, const DataBinding& binding)
    : tensors_(everything(state.learner, binding)),
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
  return options.optimizer.learning_rate * schedule_factor(options.schedule, counters.step, steps_per_epoch,
                                                           options.epochs, counters.plateau.decays);
}

Expected<double> TorchTrainer::State::rate_of_single_step() const {
  if (!needs_epoch_length(options.schedule)) return scheduled_rate(1);
  if (epoch_batches > 0) return scheduled_rate(steps_of(options, epoch_batches));
  if (counters.train_samples > 0)
    return scheduled_rate(steps_of(options, batches_of(options, counters.train_samples)));
  if (options.batches_per_epoch) return scheduled_rate(steps_of(options, *options.batches_per_epoch));
  return Error{Errc::kInvalidArgument,
               "the learning-rate schedule counts epochs; set batches per epoch, so that single steps know "
               "how long one is"};
}

Status TorchTrainer::State::check_nothing_pending() const {
  if (learner.pending() == 0) return {};
  return Error{Errc::kInvalidArgument, "gradients of " + std::to_string(learner.pending()) +
                                           " batches are pending; apply them first"};
}

Expected<DataBinding*> TorchTrainer::State::binding(const Dataset& data, const std::string& what,
                                                    bool training) {
  if (data.size() == 0)
    return Error{Errc::kInvalidArgument, what + ": the data set is empty; at least one sample is needed"};
  const DataTensors rows(data);
  auto binding = learner.binding(rows);
  if (!binding) return binding.error().within(what);
  const Status fits = learner.rehearse(*binding.value(), rows, training);
  if (!fits) return fits.error().within(what);
  return binding;
}

/// Whether epochs over this data may begin, or go on. `also` is what else must hold.
Expected<DataBinding*> TorchTrainer::State::bind_epochs(const Dataset& train,
                                                        const std::function<Status()>& also) {
  DataBinding* binding = nullptr;
  WASMGRAD_CHECK(agree_on_epochs(train, guarded("training", [&]() -> Status {
                                   WASMGRAD_CHECK(check_nothing_pending());
                                   WASMGRAD_ASSIGN(binding, this->binding(train, "train", true));
                                   return also();
                                 })));
  if (counters.batch > 0 && counters.train_samples != epoch_samples) {
    if (epoch_failed) {
      begin_epoch();
      return binding;
    }
    return Error{Errc::kInvalidArgument,
                 "the run was interrupted within an epoch over " + std::to_string(counters.train_samples) +
                     " samples; it cannot go on with a data set of " + std::to_string(epoch_samples)};
  }
  return binding;
}

Status TorchTrainer::State::gradients_of_group(EpochBatches& source, DataBinding& binding, std::int64_t end,
                                               MetricSum& sum) {
  for (; counters.batch < end; ++counters.batch, ++counters.passes) {
    const std::int64_t rows = source.own_rows(counters.batch);
    if (rows == 0) {
      learner.skip_batch();
      continue;
    }
    const StepRandom random{replicas.dropout_seed(options.seed), static_cast<std::uint64_t>(counters.passes)};
    const double weight = replicas.weight(rows, source.all_rows(counters.batch));
    WASMGRAD_CHECK(learner.backward(binding, source.batch(counters.batch), random, weight, sum));
  }
  return {};
}

/// One optimizer step of an epoch, over `accumulate` batches or those that are left.
Status TorchTrainer::State::train_group(EpochBatches& source, DataBinding& binding, double rate) {
  const Counters before = counters;
  const std::int64_t end = std::min(epoch_batches, counters.batch + options.accumulate);
  Learner::Attempt attempt(learner, binding);
  const auto undo = [&](const Error& error) {
    const std::string where =
        "epoch " + std::to_string(counters.epoch + 1) + ", batch " + std::to_string(counters.batch + 1);
    counters = before;
    return error.within(where);
  };
  MetricSum sum;
  try {
    const Status own = guarded("gradients", [&] { return gradients_of_group(source, binding, end, sum); });
    if (const Status done = apply(own, rate, sum); !done) return undo(done.error());
  } catch (...) {
    return undo(current_error("step"));
  }
  attempt.keep();
  WASMGRAD_ASSIGN(const auto averaged, average({}, rate, counters.batch == epoch_batches));
  if (averaged) sum = *averaged;
  if (averaged || !replicas.averages()) counters.sum.add(sum);
  return {};
}

/// Trains from counters.batch to the epoch's end; false when the owner asked to stop before it.
Expected<bool> TorchTrainer::State::train_batches(const Dataset& train, DataBinding& binding,
                                                  EpochReport& report) {
  const std::int64_t steps_per_epoch = steps_of(options, epoch_batches);
  counters.train_samples = epoch_samples;
  const auto start = Clock::now();
  auto last_progress = start;
  const std::int64_t samples_before = counters.sum.samples;
  const auto samples_per_second = [&] {
    return static_cast<double>(counters.sum.samples - samples_before) / std::max(seconds_since(start), 1e-9);
  };
  const DataTensors rows(train);
  EpochBatches source = EpochBatches::of_epoch(rows, options, counters.epoch, replicas.dealing());
  bool complete = true;
  report.learning_rate = scheduled_rate(steps_per_epoch);
  while (counters.batch < epoch_batches) {
    if (replicas.stop_requested()) {
      complete = false;
      break;
    }
    report.learning_rate = scheduled_rate(steps_per_epoch);
    WASMGRAD_CHECK(train_group(source, binding, report.learning_rate));
    if (const auto now = Clock::now(); now - last_progress >= kProgressInterval) {
      last_progress = now;
      const Metrics mean = counters.sum.mean(options.top_k);
      observer->on_progress({counters.epoch + 1, counters.batch, epoch_batches, mean.loss, mean.accuracy,
                             samples_per_second()});
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

Status TorchTrainer::State::keep_steps(const DataBinding& binding, const std::function<Status()>& work) {
  const std::int64_t steps_before = counters.step;
  TrainingWeights weights(*this);
  std::optional<RunStart> start;
  if (options.restore_on_error) start.emplace(*this, binding);
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
    WASMGRAD_ASSIGN(report.validation, evaluate(*validation, "validation"));
  }
  if (test) {
    WASMGRAD_ASSIGN(report.test, evaluate(*test, "test"));
  }
  judge_epoch(report);
  count_epoch();
  return {};
}

void TorchTrainer::State::judge_epoch(const EpochReport& report) {
  const double monitored = report.validation ? report.validation->loss : report.train.loss;
  counters.plateau.judge(monitored, options.schedule.plateau_patience);
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
                                const std::function<Status(std::int64_t)>& on_state,
                                std::int64_t until_epoch) {
  FitReport& report = last_run;
  const std::optional<Dataset>& first = test ? test : validation;
  if (counters.step == 0 && first) {
    WASMGRAD_ASSIGN(report.initial, evaluate(*first, test ? "test" : "validation"));
    observer->on_initial(*report.initial);
  }
  while (counters.epoch < until_epoch && !out_of_patience()) {
    EpochReport epoch;
    WASMGRAD_ASSIGN(DataBinding * binding, this->binding(train, "train", true));
    WASMGRAD_ASSIGN(const bool complete, train_batches(train, *binding, epoch));
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

Expected<Metrics> TorchTrainer::State::train_batch(std::span<const TensorView> inputs,
                                                   std::span<const TensorView> targets,
                                                   std::optional<double> rate) {
  const std::string where = "step " + std::to_string(counters.step + 1);
  const auto within = [&](const Status& status) { return status.error().within(where); };
  WASMGRAD_CHECK(share_state());
  TrainingWeights weights(*this);
  DataTensors data;
  std::optional<Learner::Attempt> attempt;
  MetricSum sum;
  const Status own = guarded("gradients", [&]() -> Status {
    if (inputs.empty()) return invalid("there are no inputs");
    WASMGRAD_ASSIGN(data.inputs, columns_over(inputs, "input", data.size));
    WASMGRAD_ASSIGN(data.targets, columns_over(targets, "target", data.size));
    WASMGRAD_ASSIGN(DataBinding * binding, learner.binding(data));
    attempt.emplace(learner, *binding);
    return gradients_of_batch(data, *binding, sum);
  });
  if (rate) {
    const Status applied = apply(own, *rate, sum);
    if (!applied) return within(applied);
  } else if (!own) {
    return within(own);
  }
  attempt->keep();
  weights.keep();
  ++counters.passes;
  if (!rate && replicas.several()) {
    pending.add(sum);  // told once it is that of all
  } else {
    steps.add(sum);
  }
  if (rate) {
    const auto averaged = average({}, *rate, false);
    if (!averaged) return averaged.error().within(where);
  }
  return sum.mean(options.top_k);
}

/// Adds the gradients of this process's part of the caller's batch.
Status TorchTrainer::State::gradients_of_batch(const DataTensors& data, DataBinding& binding,
                                               MetricSum& sum) {
  // With shards the whole batch is this process's.
  const Dealing dealing = replicas.shards() ? Dealing{} : replicas.dealing();
  EpochBatches source = EpochBatches::in_order(data, data.size, dealing);
  const std::int64_t rows = source.own_rows(0);
  if (rows == 0) {
    learner.skip_batch();
    return {};
  }
  const StepRandom random{replicas.dropout_seed(options.seed), static_cast<std::uint64_t>(counters.passes)};
  return learner.backward(binding, source.batch(0), random, replicas.weight(rows, data.size), sum);
}

Status TorchTrainer::State::apply(const Status& own, double rate, MetricSum& sum) {
  TrainingWeights weights(*this);
  const double weight = learner.pending_weight();
  if (replicas.sums_gradients()) {
    WASMGRAD_CHECK(replicas.sum_gradients(learner, counters.step, step_facts(rate), own, sum));
  } else if (!own) {
    WASMGRAD_CHECK(average(own, rate, true));
  }
  WASMGRAD_CHECK(learner.apply(rate));
  weights.keep();
  last_rate = rate;
  ++counters.step;
  if (replicas.averages()) replicas.count(sum, weight);
  return {};
}

Status TorchTrainer::State::apply_pending() {
  const auto rate = rate_of_single_step();
  Status own = rate ? Status() : Status(rate.error());
  if (learner.pending() == 0) own = invalid("there are no gradients to apply; backward() adds them");
  const Status done = apply(own, rate ? *rate : 0, pending);
  if (!done) {
    if (done.error().code == Errc::kInterrupted) learner.drop_gradients();
    return done;
  }
  if (pending.samples > 0) steps.add(pending);
  pending = {};
  WASMGRAD_CHECK(average({}, *rate, false));
  return {};
}

void TorchTrainer::State::report_steps() {
  last_report = Clock::now();
  if (steps.samples == 0) return;
  observer->on_steps({counters.step, steps.mean(options.top_k), last_rate});
  steps = {};
}

}  // namespace wasmgrad::training
