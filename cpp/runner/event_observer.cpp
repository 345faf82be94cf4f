#include "wasmgrad/runner/event_observer.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace wasmgrad::runner {

namespace {

Event number(const std::optional<double>& value) { return value ? Event(*value) : Event(nullptr); }

// Where a fit left its trainer, and why it ended.
Event end_of(const training::FitReport& report) {
  return {{"epoch", report.epoch},
          {"step", report.step},
          {"stopped_early", report.stopped_early},
          {"best_epoch", report.best_epoch ? Event(*report.best_epoch) : Event()},
          {"best_loss", number(report.best_loss)},
          {"best_restored", report.best_restored}};
}

}  // namespace

Event to_json(const training::Metrics& metrics) {
  return {{"loss", metrics.loss},
          {"accuracy", number(metrics.accuracy)},
          {"top_k_accuracy", number(metrics.top_k_accuracy)},
          {"samples", metrics.samples}};
}

Event to_json(const training::EpochReport& report) {
  Event json{{"epoch", report.epoch}, {"train", to_json(report.train)}};
  if (report.validation) json["validation"] = to_json(*report.validation);
  if (report.test) json["test"] = to_json(*report.test);
  json["learning_rate"] = report.learning_rate;
  json["seconds"] = report.seconds;
  json["samples_per_second"] = report.samples_per_second;
  return json;
}

Event to_json(const training::FitReport& report) {
  Event epochs = Event::array();
  for (const training::EpochReport& epoch : report.epochs) epochs.push_back(to_json(epoch));
  Event json{{"epochs", std::move(epochs)}, {"initial", report.initial ? to_json(*report.initial) : Event()}};
  json.update(end_of(report));
  json["seconds"] = report.seconds;
  return json;
}

void EventObserver::on_warning(std::string_view message) {
  on_event({{"event", "warning"}, {"message", message}});
}

void EventObserver::on_tensor(std::string_view role, const TensorView& tensor, double seconds) {
  on_event({{"event", "tensor"},
            {"role", role},
            {"name", tensor.name()},
            {"shape", tensor.shape()},
            {"dtype", dtype_name(tensor.dtype())},
            {"seconds", seconds}});
}

void EventObserver::on_fit_begin(const training::FitInfo& info) {
  const training::TrainerOptions& options = *info.options;
  Event event{{"event", "fit"},
              {"optimizer", training::name_of(options.optimizer.kind)},
              {"loss", training::name_of(options.loss)},
              {"learning_rate", options.optimizer.learning_rate},
              {"schedule", training::name_of(options.schedule.kind)},
              {"epochs", options.epochs},
              {"batch_size", options.batch_size},
              {"threads", info.threads},
              {"precision", training::name_of(options.precision)},
              {"seed", options.seed},
              {"device", "cpu"},
              {"train_samples", info.train_samples},
              {"validation_samples", info.validation_samples},
              {"test_samples", info.test_samples},
              {"parameters", info.parameters},
              {"batches", info.batches},
              {"start_epoch", info.start_epoch}};
  if (classes_ > 0) event["classes"] = classes_;
  on_event(event);
}

void EventObserver::on_initial(const training::Metrics& metrics) {
  Event event{{"event", "initial"}};
  event.update(to_json(metrics));
  on_event(event);
}

void EventObserver::on_progress(const training::Progress& progress) {
  on_event({{"event", "progress"},
            {"epoch", progress.epoch},
            {"batch", progress.batch},
            {"batches", progress.batches},
            {"loss", progress.loss},
            {"accuracy", number(progress.accuracy)},
            {"samples_per_second", progress.samples_per_second}});
}

void EventObserver::on_epoch(const training::EpochReport& report) {
  Event event{{"event", "epoch"}};
  event.update(to_json(report));
  on_event(event);
}

void EventObserver::on_steps(const training::StepsReport& report) {
  Event event{{"event", "steps"}, {"step", report.step}, {"learning_rate", report.learning_rate}};
  event.update(to_json(report.train));
  on_event(event);
}

void EventObserver::on_evaluation(const training::Metrics& metrics, std::int64_t step) {
  Event event{{"event", "evaluation"}, {"step", step}};
  event.update(to_json(metrics));
  on_event(event);
}

void EventObserver::on_report(std::string_view name, double value) {
  on_event({{"event", "report"}, {"name", name}, {"value", value}});
}

void EventObserver::on_checkpoint(std::string_view path, std::int64_t epoch) {
  on_event({{"event", "checkpoint"}, {"path", path}, {"epoch", epoch}});
}

void EventObserver::on_fit_end(const training::FitReport& report) {
  Event event{{"event", "fit_end"}, {"seconds", report.seconds}};
  event.update(end_of(report));
  event["interrupted"] = report.interrupted;
  on_event(event);
}

void EventObserver::on_failure(const training::TrainingFailure& failure) {
  on_event({{"event", "failure"},
            {"epoch", failure.epoch},
            {"batch", failure.batch},
            {"completed_steps", failure.steps},
            {"restored", failure.restored},
            {"message", failure.message}});
}

void EventObserver::on_model_saved(std::string_view path, std::uint64_t bytes) {
  on_event({{"event", "model_saved"}, {"path", path}, {"bytes", bytes}});
}

void EventObserver::on_usage(const training::Usage& usage) {
  on_event({{"event", "usage"},
            {"guest_memory_bytes", usage.guest_memory_bytes},
            {"host_bytes", usage.host_bytes},
            {"host_calls", usage.host_calls},
            {"steps", usage.steps},
            {"samples", usage.samples},
            {"host_seconds", usage.host_seconds},
            {"guest_seconds", usage.guest_seconds}});
}

}  // namespace wasmgrad::runner
