#include "wasmgrad/runner/json_observer.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "wasmgrad/base/write_fully.hpp"

namespace wasmgrad::runner {

namespace {

using Json = nlohmann::ordered_json;

// nlohmann prints non-finite numbers as null, which is what the events want.
std::string line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json to_json(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json to_json(const training::Metrics& metrics) {
  return {{"loss", metrics.loss},
          {"accuracy", to_json(metrics.accuracy)},
          {"top_k_accuracy", to_json(metrics.top_k_accuracy)},
          {"samples", metrics.samples}};
}

}  // namespace

std::string console_event(std::string_view stream, std::string_view text) {
  return line({{"event", "console"}, {"stream", stream}, {"text", text}});
}

std::string error_event(const Error& error) {
  return line({{"event", "error"}, {"kind", errc_name(error.code)}, {"message", error.message}});
}

std::string guest_exit_event(std::uint32_t exit_code) {
  return line({{"event", "error"},
               {"kind", "guest_exit"},
               {"message", "the guest exited with code " + std::to_string(exit_code)},
               {"exit_code", exit_code}});
}

std::string end_event(const RunEnd& end) {
  return line({{"event", "end"},
               {"status", end.status},
               {"exit_code", end.exit_code},
               {"seconds", end.seconds},
               {"peak_rss_bytes", end.peak_rss_bytes}});
}

void JsonObserver::write_line(std::string_view line) const { write_fully(fd_, line); }

void JsonObserver::on_warning(std::string_view message) {
  write_line(line({{"event", "warning"}, {"message", message}}));
}

void JsonObserver::on_tensor(std::string_view role, const TensorView& tensor, double seconds) {
  write_line(line({{"event", "tensor"},
                   {"role", role},
                   {"name", tensor.name()},
                   {"shape", tensor.shape()},
                   {"dtype", dtype_name(tensor.dtype())},
                   {"seconds", seconds}}));
}

void JsonObserver::on_fit_begin(const training::FitInfo& info) {
  const training::TrainerOptions& options = *info.options;
  Json json{{"event", "fit"},
            {"optimizer", training::name_of(options.optimizer.kind)},
            {"loss", training::name_of(options.loss)},
            {"learning_rate", options.optimizer.learning_rate},
            {"schedule", training::name_of(options.schedule.kind)},
            {"epochs", options.epochs},
            {"batch_size", options.batch_size},
            {"threads", info.threads},
            {"seed", options.seed},
            {"device", "cpu"},
            {"train_samples", info.train_samples},
            {"validation_samples", info.validation_samples},
            {"test_samples", info.test_samples},
            {"parameters", info.parameters},
            {"batches", info.batches},
            {"start_epoch", info.start_epoch}};
  if (classes_ > 0) json["classes"] = classes_;
  write_line(line(json));
}

void JsonObserver::on_initial(const training::Metrics& metrics) {
  Json json{{"event", "initial"}};
  json.update(to_json(metrics));
  write_line(line(json));
}

void JsonObserver::on_progress(const training::Progress& progress) {
  write_line(line({{"event", "progress"},
                   {"epoch", progress.epoch},
                   {"batch", progress.batch},
                   {"batches", progress.batches},
                   {"loss", progress.loss},
                   {"accuracy", to_json(progress.accuracy)},
                   {"samples_per_second", progress.samples_per_second}}));
}

void JsonObserver::on_epoch(const training::EpochReport& report) {
  Json json{{"event", "epoch"}, {"epoch", report.epoch}, {"train", to_json(report.train)}};
  if (report.validation) json["validation"] = to_json(*report.validation);
  if (report.test) json["test"] = to_json(*report.test);
  json["learning_rate"] = report.learning_rate;
  json["seconds"] = report.seconds;
  json["samples_per_second"] = report.samples_per_second;
  write_line(line(json));
}

void JsonObserver::on_steps(const training::StepsReport& report) {
  Json json{{"event", "steps"}, {"step", report.step}, {"learning_rate", report.learning_rate}};
  json.update(to_json(report.train));
  write_line(line(json));
}

void JsonObserver::on_evaluation(const training::Metrics& metrics, std::int64_t step) {
  Json json{{"event", "evaluation"}, {"step", step}};
  json.update(to_json(metrics));
  write_line(line(json));
}

void JsonObserver::on_checkpoint(std::string_view path, std::int64_t epoch) {
  write_line(line({{"event", "checkpoint"}, {"path", path}, {"epoch", epoch}}));
}

void JsonObserver::on_fit_end(const training::FitReport& report) {
  write_line(line({{"event", "fit_end"},
                   {"seconds", report.seconds},
                   {"epoch", report.epoch},
                   {"step", report.step},
                   {"stopped_early", report.stopped_early},
                   {"best_epoch", report.best_epoch ? Json(*report.best_epoch) : Json()},
                   {"best_loss", to_json(report.best_loss)},
                   {"best_restored", report.best_restored},
                   {"interrupted", report.interrupted}}));
}

void JsonObserver::on_failure(const training::TrainingFailure& failure) {
  write_line(line({{"event", "failure"},
                   {"epoch", failure.epoch},
                   {"batch", failure.batch},
                   {"completed_steps", failure.steps},
                   {"restored", failure.restored},
                   {"message", failure.message}}));
}

void JsonObserver::on_model_saved(std::string_view path, std::uint64_t bytes) {
  write_line(line({{"event", "model_saved"}, {"path", path}, {"bytes", bytes}}));
}

void JsonObserver::on_usage(const training::Usage& usage) {
  write_line(line({{"event", "usage"},
                   {"guest_memory_bytes", usage.guest_memory_bytes},
                   {"host_bytes", usage.host_bytes},
                   {"host_calls", usage.host_calls},
                   {"steps", usage.steps},
                   {"host_seconds", usage.host_seconds},
                   {"guest_seconds", usage.guest_seconds}}));
}

}  // namespace wasmgrad::runner
