#include "wasmgrad/abi/v1/trainers.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <utility>

#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/abi/tensor_records.hpp"
#include "wasmgrad/abi/v1/trainer_options.hpp"

namespace wasmgrad::abi::v1 {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::uint32_t kMaxOptionsBytes = 1 << 20;

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

constexpr layout::Metrics kNoMetrics = {kNone, kNone, kNone, kNone, kNone, 0, 0, 0};

layout::Metrics in_layout(const training::Metrics& metrics, double learning_rate, double seconds,
                          const training::Trainer& trainer) {
  return {metrics.loss,
          metrics.accuracy.value_or(kNone),
          metrics.top_k_accuracy.value_or(kNone),
          learning_rate,
          seconds,
          static_cast<std::uint64_t>(metrics.samples),
          static_cast<std::uint64_t>(trainer.steps()),
          static_cast<std::uint64_t>(trainer.epoch())};
}

// Whether it ended because the owner asked to stop, or another process was lost.
template <class Result>
bool is_interrupted(const Result& result) {
  return !result && result.error().code == Errc::kInterrupted;
}

// Counts the optimizer steps of a call, however it ends.
class StepCount {
 public:
  StepCount(std::int64_t& total, const training::Trainer& trainer)
      : total_(total), trainer_(trainer), before_(trainer.steps()) {}
  StepCount(const StepCount&) = delete;
  StepCount& operator=(const StepCount&) = delete;
  ~StepCount() { total_ += trainer_.steps() - before_; }

 private:
  std::int64_t& total_;
  const training::Trainer& trainer_;
  std::int64_t before_;
};

}  // namespace

TrainerResource::TrainerResource(std::shared_ptr<ModelResource> used_model,
                                 std::unique_ptr<training::Trainer> made, Budget::Charge charge,
                                 std::shared_ptr<TrainerRun> trainer_run, const StopToken* stop)
    : trainer(*made),
      run(std::move(trainer_run)),
      owned_(std::move(made)),
      model_(std::move(used_model)),
      charge_(std::move(charge)),
      polling_(stop) {
  model_->has_trainer = true;
}

TrainerResource::~TrainerResource() { model_->has_trainer = false; }

training::Trainer& TrainerResource::change() {
  checkpoint.drop();
  model_->exported.drop();
  return trainer;
}

Status Trainers::interrupted(TrainerResource& resource) {
  WASMGRAD_CHECK(record_.save_checkpoint(*resource.run, resource.trainer));
  const std::string after = training::progress_text(resource.trainer);
  context_.stopped_at = after;
  return Error{Errc::kInterrupted, "the owner asked to stop, after " + after};
}

Status Trainers::check_not_interrupted(TrainerResource& resource) {
  return context_.stop_requested() ? interrupted(resource) : Status();
}

Status Trainers::begin_with_weights(ModelResource& model, training::Trainer& trainer) {
  if (model.has_weights) return {};
  if (const Status set = context_.set_weights(trainer); !set) {
    return context_.owner_error(set.error().within(context_.weights_name()),
                                "the owner's weights cannot be put into this model");
  }
  model.has_weights = true;
  return {};
}

Status Trainers::create(const GuestMemory& memory, std::uint32_t model, std::uint32_t options,
                        std::uint32_t options_bytes, std::uint32_t trainer) {
  WASMGRAD_ASSIGN(const auto used, models_.find(model));
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, trainer, "trainer"));
  WASMGRAD_ASSIGN(const std::string_view json, memory.text(options, options_bytes, "options"));
  if (json.size() > kMaxOptionsBytes) {
    return Error{Errc::kTooLarge, "the options have " + std::to_string(json.size()) + " bytes; at most " +
                                      std::to_string(kMaxOptionsBytes) + " are supported"};
  }
  WASMGRAD_ASSIGN(training::TrainerOptions chosen, read_trainer_options(json));
  if (used->has_trainer) {
    return Error{Errc::kInvalidArgument, "the model has a trainer already; close it first"};
  }
  WASMGRAD_CHECK(context_.handles.check(1));
  chosen = context_.config.overrides.apply(std::move(chosen));
  WASMGRAD_ASSIGN(std::unique_ptr<training::Trainer> made,
                  used->model->trainer(std::move(chosen), context_.config.observer, context_.config.stop,
                                       context_.config.replication));
  WASMGRAD_ASSIGN(Budget::Charge charge, context_.budget.charge(made->state_bytes(), "the trainer's state"));
  WASMGRAD_CHECK(begin_with_weights(*used, *made));
  WASMGRAD_ASSIGN(auto run, record_.begin(*made, used->model));
  WASMGRAD_ASSIGN(const std::uint32_t handle,
                  table_.insert(std::make_shared<TrainerResource>(used, std::move(made), std::move(charge),
                                                                  std::move(run), context_.config.stop)));
  used->exported.drop();  // the owner's checkpoint may have moved the weights
  result.write(handle);
  return {};
}

Status Trainers::fit(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t train,
                     std::uint32_t validation, std::uint32_t epochs, std::uint32_t report) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, ValueResult<layout::FitReport>::at(memory, report, "report"));
  WASMGRAD_ASSIGN(const auto train_rows, datasets_.find(train));
  std::shared_ptr<DatasetResource> validation_rows;
  if (validation != 0) {
    WASMGRAD_ASSIGN(validation_rows, datasets_.find(validation));
  }
  WASMGRAD_CHECK(check_not_interrupted(*resource));
  training::Trainer& used = resource->trainer;
  // A guest that the owner resumed asks for the same epochs as the first time.
  TrainerRun& run = *resource->run;
  const std::int64_t done_before = std::min<std::int64_t>(run.resumed_epochs, epochs);
  WASMGRAD_ASSIGN(const std::int64_t allowed,
                  record_.allowed_epochs(run, used.epoch(), std::int64_t{epochs} - done_before));

  WASMGRAD_ASSIGN(const training::Dataset data, train_rows->freeze());
  std::optional<training::Dataset> held_out;
  if (validation_rows) {
    WASMGRAD_ASSIGN(held_out, validation_rows->freeze());
  }
  const StepCount count(context_.steps, used);
  const auto save_state = [&](std::int64_t) { return record_.save_checkpoint(*resource->run, used); };
  const Stopwatch watch;
  const std::int64_t steps_before = used.steps();
  const auto fitted = resource->change().fit(data, held_out, std::nullopt, save_state, allowed);
  const bool kept_steps = used.steps() > steps_before;
  if (!fitted && !kept_steps) return fitted.error();
  run.resumed_epochs -= done_before;
  const training::FitReport& done = used.last_run();
  context_.samples += done.unfinished.samples;
  for (const training::EpochReport& epoch : done.epochs) context_.samples += epoch.train.samples;
  record_.add(resource->run, done);
  if (done.interrupted) return interrupted(*resource);

  layout::FitReport written{kNoMetrics, kNoMetrics, static_cast<std::uint32_t>(done.epochs.size()),
                            done.stopped_early ? 1U : 0U};
  if (!fitted) {
    written.train = in_layout(done.unfinished, used.learning_rate(), watch.seconds(), used);
  } else if (!done.epochs.empty()) {
    const training::EpochReport& last = done.epochs.back();
    written.train = in_layout(last.train, last.learning_rate, last.seconds, used);
    if (last.validation) written.validation = in_layout(*last.validation, kNone, watch.seconds(), used);
  }
  result.write(written);
  return fitted ? Status() : fitted.error();
}

Status Trainers::epoch(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t train,
                       std::uint32_t metrics) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, ValueResult<layout::Metrics>::at(memory, metrics, "metrics"));
  WASMGRAD_ASSIGN(const auto rows, datasets_.find(train));
  WASMGRAD_CHECK(check_not_interrupted(*resource));
  training::Trainer& used = resource->trainer;
  WASMGRAD_ASSIGN(const std::int64_t allowed, record_.allowed_epochs(*resource->run, used.epoch(), 1));
  if (allowed == 0) {
    context_.epochs_used_up = true;
    return Error{Errc::kInterrupted,
                 "the owner's checkpoint has done all the epochs that the owner allows: " +
                     std::to_string(used.epoch())};
  }
  WASMGRAD_ASSIGN(const training::Dataset data, rows->freeze());
  const StepCount count(context_.steps, used);
  const std::int64_t steps_before = used.steps();
  const Stopwatch watch;
  const auto done = resource->change().train_epoch(data);
  const bool stopped = is_interrupted(done);
  if (!done && used.steps() > steps_before) {
    training::FitReport kept = used.last_run();
    context_.samples += kept.unfinished.samples;
    kept.interrupted = stopped;
    record_.add(resource->run, kept);
  }
  if (stopped) return interrupted(*resource);
  if (!done && used.steps() > steps_before) {
    result.write(in_layout(used.last_run().unfinished, used.learning_rate(), watch.seconds(), used));
  }
  if (!done) return done.error();
  training::FitReport report;
  report.epochs.push_back(*done);
  context_.samples += done->train.samples;
  report.seconds = done->seconds;
  record_.add(resource->run, report);
  WASMGRAD_CHECK(record_.save_checkpoint(*resource->run, used));
  result.write(in_layout(done->train, done->learning_rate, done->seconds, used));
  return {};
}

Status Trainers::train_batch(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs,
                             std::uint32_t n_inputs, std::uint32_t targets, std::uint32_t n_targets,
                             std::uint32_t metrics, Batch batch) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, ValueResult<layout::Metrics>::at(memory, metrics, "metrics"));
  WASMGRAD_ASSIGN(const auto input_views, read_named_tensors(memory, inputs, n_inputs, "inputs"));
  WASMGRAD_ASSIGN(const auto target_views, read_named_tensors(memory, targets, n_targets, "targets"));
  WASMGRAD_CHECK(check_not_interrupted(*resource));
  training::Trainer& used = resource->change();
  const std::int64_t before = used.steps();
  const Stopwatch watch;
  const auto measured = (used.*batch)(input_views, target_views);
  if (!measured) return is_interrupted(measured) ? interrupted(*resource) : measured.error();
  const double seconds = watch.seconds();
  context_.steps += used.steps() - before;
  context_.samples += measured->samples;
  record_.add_batch(resource->run, seconds);
  const double learning_rate = used.steps() > before ? used.learning_rate() : kNone;
  result.write(in_layout(*measured, learning_rate, seconds, used));
  return {};
}

Status Trainers::step(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs,
                      std::uint32_t n_inputs, std::uint32_t targets, std::uint32_t n_targets,
                      std::uint32_t metrics) {
  return train_batch(memory, trainer, inputs, n_inputs, targets, n_targets, metrics,
                     &training::Trainer::step);
}

Status Trainers::backward(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs,
                          std::uint32_t n_inputs, std::uint32_t targets, std::uint32_t n_targets,
                          std::uint32_t metrics) {
  return train_batch(memory, trainer, inputs, n_inputs, targets, n_targets, metrics,
                     &training::Trainer::backward);
}

Status Trainers::apply(const GuestMemory& /*memory*/, std::uint32_t trainer) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  const StepCount count(context_.steps, resource->trainer);
  const Status done = resource->change().apply();
  return is_interrupted(done) ? interrupted(*resource) : done;
}

Status Trainers::evaluate(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t dataset,
                          std::uint32_t metrics) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, ValueResult<layout::Metrics>::at(memory, metrics, "metrics"));
  WASMGRAD_ASSIGN(const auto rows, datasets_.find(dataset));
  WASMGRAD_CHECK(check_not_interrupted(*resource));
  WASMGRAD_ASSIGN(const training::Dataset data, rows->freeze());
  const Stopwatch watch;
  const auto done = resource->trainer.evaluate(data);
  if (is_interrupted(done)) return interrupted(*resource);
  if (!done) return done.error();
  result.write(in_layout(*done, kNone, watch.seconds(), resource->trainer));
  return {};
}

Status Trainers::progress(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t progress) {
  WASMGRAD_ASSIGN(const auto resource, table_.find(trainer));
  WASMGRAD_ASSIGN(const auto result, ValueResult<layout::Progress>::at(memory, progress, "progress"));
  const training::Trainer& used = resource->trainer;
  const auto best = used.best_epoch();
  const auto owner_epochs = context_.config.overrides.epochs.value_or(0);
  layout::Progress written{};
  written.epoch = static_cast<std::uint64_t>(used.epoch());
  written.step = static_cast<std::uint64_t>(used.steps());
  written.batch = static_cast<std::uint64_t>(used.batch());
  written.best_epoch = static_cast<std::uint64_t>(best.value_or(0));
  written.best_loss = best ? used.best_loss() : kNone;
  written.resumed = resource->run->resumed ? 1 : 0;
  written.shows_best = used.shows_best() ? 1 : 0;
  written.stop_requested = context_.stop_requested() ? 1 : 0;
  written.owner_epochs = static_cast<std::uint32_t>(std::clamp<std::int64_t>(owner_epochs, 0, UINT32_MAX));
  result.write(written);
  return {};
}

Status Trainers::close(const GuestMemory& /*memory*/, std::uint32_t trainer) {
  WASMGRAD_ASSIGN(const auto resource, table_.close(trainer));
  // The guest has done its part: what fails now is the owner's to know.
  if (resource->run == record_.last()) {
    (void)record_.save_checkpoint(*resource->run, resource->trainer).ok();
  }
  return {};
}

std::shared_ptr<TrainerRun> Trainers::finish() {
  table_.for_each([&](TrainerResource& resource) {
    if (resource.run == record_.last()) (void)record_.save_checkpoint(*resource.run, resource.trainer).ok();
  });
  table_.clear();
  return record_.last();
}

}  // namespace wasmgrad::abi::v1
