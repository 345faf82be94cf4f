#include "wasmgrad/training/torch/loop/torch_trainer.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "wasmgrad/training/torch/compute_scope.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"
#include "wasmgrad/training/torch/data/epoch_batches.hpp"
#include "wasmgrad/training/torch/loop/trainer_state.hpp"
#include "wasmgrad/training/torch/model/outputs.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

TorchTrainer::TorchTrainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
TorchTrainer::TorchTrainer(TorchTrainer&&) noexcept = default;
TorchTrainer& TorchTrainer::operator=(TorchTrainer&&) noexcept = default;
TorchTrainer::~TorchTrainer() = default;

Expected<TorchTrainer> TorchTrainer::create(TorchModel model, TrainerOptions options, Observer* observer,
                                            const StopToken* stop, const Replication& replication) {
  return guarded("trainer", [&]() -> Expected<TorchTrainer> {
    WASMGRAD_CHECK(validate(options));
    WASMGRAD_ASSIGN(Learner learner, Learner::create(std::move(model), options));
    auto state = std::make_unique<State>(std::move(learner), std::move(options), observer, stop, replication);
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
    WASMGRAD_CHECK(state.share_state());
    WASMGRAD_ASSIGN(DataBinding * binding, state.bind_epochs(train, [&]() -> Status {
      if (validation) WASMGRAD_CHECK(state.binding(*validation, "validation"));
      if (test) WASMGRAD_CHECK(state.binding(*test, "test"));
      return {};
    }));
    state.report_steps();
    TrainerOptions shown = state.options;
    if (more_epochs) shown.epochs = state.counters.epoch + *more_epochs;
    FitInfo info;
    info.options = &shown;
    info.train_samples = state.epoch_samples;
    info.validation_samples = validation ? validation->size() : 0;
    info.test_samples = test ? test->size() : 0;
    info.parameters = static_cast<std::int64_t>(parameter_bytes() / sizeof(float));
    info.batches = state.epoch_batches;
    info.start_epoch = state.counters.epoch;
    info.threads = state.threads;
    state.observer->on_fit_begin(info);

    const Status done = state.keep_steps(
        *binding, [&] { return state.run(train, validation, test, on_state, shown.epochs); });
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
    WASMGRAD_CHECK(state.share_state());
    WASMGRAD_ASSIGN(DataBinding * binding, state.bind_epochs(train, [] { return Status(); }));
    state.report_steps();
    EpochReport report;
    WASMGRAD_CHECK(state.keep_steps(*binding, [&]() -> Status {
      WASMGRAD_ASSIGN(const bool complete, state.train_batches(train, *binding, report));
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
    state.report_steps();
    WASMGRAD_ASSIGN(const Metrics metrics, state.evaluate(data, "evaluation data"));
    state.observer->on_evaluation(metrics, state.counters.step);
    return metrics;
  });
}

Expected<Metrics> TorchTrainer::step(std::span<const TensorView> inputs,
                                     std::span<const TensorView> targets) {
  State& state = *state_;
  return guarded("training step", [&]() -> Expected<Metrics> {
    const ComputeScope scope(state.threads);
    WASMGRAD_ASSIGN(const double rate, state.rate_of_single_step());
    WASMGRAD_ASSIGN(const Metrics metrics, state.train_batch(inputs, targets, rate));
    if (Clock::now() - state.last_report >= kProgressInterval) state.report_steps();
    return metrics;
  });
}

Expected<Metrics> TorchTrainer::backward(std::span<const TensorView> inputs,
                                         std::span<const TensorView> targets) {
  return guarded("training step", [&]() -> Expected<Metrics> {
    const ComputeScope scope(state_->threads);
    return state_->train_batch(inputs, targets, std::nullopt);
  });
}

Status TorchTrainer::apply() {
  State& state = *state_;
  return guarded("training step", [&]() -> Status {
    const ComputeScope scope(state.threads);
    WASMGRAD_CHECK(state.share_state());
    WASMGRAD_CHECK(state.apply_pending());
    if (Clock::now() - state.last_report >= kProgressInterval) state.report_steps();
    return {};
  });
}

Expected<std::vector<Output>> TorchTrainer::predict(std::span<const TensorView> inputs) {
  return guarded("prediction", [&]() -> Expected<std::vector<Output>> {
    const ComputeScope scope(state_->threads);
    if (inputs.empty()) return Error{Errc::kInvalidArgument, "there are no inputs"};
    std::int64_t samples = 0;
    WASMGRAD_ASSIGN(const auto columns, columns_over(inputs, "input", samples));
    WASMGRAD_ASSIGN(auto predicted, state_->learner.predict(columns));
    std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();
    std::vector<Output> outputs;
    for (const NamedTensor& entry : predicted) {
      WASMGRAD_ASSIGN(Output output, output_of(entry, unlimited));
      outputs.push_back(std::move(output));
    }
    return outputs;
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
