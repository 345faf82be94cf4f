#include "wasmgrad/bindings/events.hpp"

#include <cmath>
#include <utility>

namespace nb = nanobind;

namespace wasmgrad::bindings {
namespace {

nb::str text(std::string_view value) { return nb::str(value.data(), value.size()); }

// JSON has no NaN; its events say null, and these do the same.
nb::object number(double value) { return std::isfinite(value) ? nb::object(nb::float_(value)) : nb::none(); }

nb::object number(const std::optional<double>& value) { return value ? number(*value) : nb::none(); }

// Where a fit left its trainer, and why it ended.
void add_end(nb::dict& out, const training::FitReport& report) {
  out["epoch"] = report.epoch;
  out["step"] = report.step;
  out["stopped_early"] = report.stopped_early;
  out["best_epoch"] = report.best_epoch ? nb::object(nb::int_(*report.best_epoch)) : nb::none();
  out["best_loss"] = number(report.best_loss);
  out["best_restored"] = report.best_restored;
}

}  // namespace

nb::dict metrics_dict(const training::Metrics& metrics) {
  nb::dict out;
  out["loss"] = number(metrics.loss);
  out["accuracy"] = number(metrics.accuracy);
  out["top_k_accuracy"] = number(metrics.top_k_accuracy);
  out["samples"] = metrics.samples;
  return out;
}

nb::dict epoch_dict(const training::EpochReport& report) {
  nb::dict out;
  out["epoch"] = report.epoch;
  out["train"] = metrics_dict(report.train);
  if (report.validation) out["validation"] = metrics_dict(*report.validation);
  if (report.test) out["test"] = metrics_dict(*report.test);
  out["learning_rate"] = report.learning_rate;
  out["seconds"] = report.seconds;
  out["samples_per_second"] = report.samples_per_second;
  return out;
}

nb::dict report_dict(const training::FitReport& report) {
  nb::list epochs;
  for (const auto& epoch : report.epochs) epochs.append(epoch_dict(epoch));
  nb::dict out;
  out["epochs"] = epochs;
  out["initial"] = report.initial ? nb::object(metrics_dict(*report.initial)) : nb::none();
  add_end(out, report);
  out["seconds"] = report.seconds;
  return out;
}

PythonObserver::PythonObserver(nb::object callback, StopToken& stop)
    : callback_(std::move(callback)), stop_(stop) {}

template <class Fill>
void PythonObserver::emit(const char* name, Fill fill) {
  const nb::gil_scoped_acquire lock;
  if (raised_) return;
  try {
    if (callback_.is_valid() && !callback_.is_none()) {
      nb::dict event;
      event["event"] = name;
      fill(event);
      callback_(event);
    }
    if (PyErr_CheckSignals() != 0) nb::raise_python_error();
  } catch (...) {
    raised_ = std::current_exception();
    stop_.request();
  }
}

void PythonObserver::rethrow() {
  if (raised_) std::rethrow_exception(std::exchange(raised_, nullptr));
}

void PythonObserver::on_warning(std::string_view message) {
  emit("warning", [&](nb::dict& event) { event["message"] = text(message); });
}

void PythonObserver::on_tensor(std::string_view role, const TensorView& tensor, double seconds) {
  emit("tensor", [&](nb::dict& event) {
    nb::list shape;
    for (const std::int64_t dimension : tensor.shape()) shape.append(dimension);
    event["role"] = text(role);
    event["name"] = nb::steal(
        PyUnicode_DecodeUTF8(tensor.name().data(), static_cast<Py_ssize_t>(tensor.name().size()), "replace"));
    event["shape"] = shape;
    event["dtype"] = text(dtype_name(tensor.dtype()));
    event["seconds"] = seconds;
  });
}

void PythonObserver::on_fit_begin(const training::FitInfo& info) {
  emit("fit", [&](nb::dict& event) {
    const training::TrainerOptions& options = *info.options;
    event["optimizer"] = text(training::name_of(options.optimizer.kind));
    event["loss"] = text(training::name_of(options.loss));
    event["learning_rate"] = options.optimizer.learning_rate;
    event["schedule"] = text(training::name_of(options.schedule.kind));
    event["epochs"] = options.epochs;
    event["batch_size"] = options.batch_size;
    event["threads"] = info.threads;
    event["seed"] = options.seed;
    event["device"] = "cpu";
    event["train_samples"] = info.train_samples;
    event["validation_samples"] = info.validation_samples;
    event["test_samples"] = info.test_samples;
    event["parameters"] = info.parameters;
    event["batches"] = info.batches;
    event["start_epoch"] = info.start_epoch;
  });
}

void PythonObserver::on_initial(const training::Metrics& metrics) {
  emit("initial", [&](nb::dict& event) { event.update(metrics_dict(metrics)); });
}

void PythonObserver::on_progress(const training::Progress& progress) {
  emit("progress", [&](nb::dict& event) {
    event["epoch"] = progress.epoch;
    event["batch"] = progress.batch;
    event["batches"] = progress.batches;
    event["loss"] = number(progress.loss);
    event["accuracy"] = number(progress.accuracy);
    event["samples_per_second"] = progress.samples_per_second;
  });
}

void PythonObserver::on_epoch(const training::EpochReport& report) {
  emit("epoch", [&](nb::dict& event) { event.update(epoch_dict(report)); });
}

void PythonObserver::on_steps(const training::StepsReport& report) {
  emit("steps", [&](nb::dict& event) {
    event["step"] = report.step;
    event["learning_rate"] = report.learning_rate;
    event.update(metrics_dict(report.train));
  });
}

void PythonObserver::on_evaluation(const training::Metrics& metrics, std::int64_t step) {
  emit("evaluation", [&](nb::dict& event) {
    event["step"] = step;
    event.update(metrics_dict(metrics));
  });
}

void PythonObserver::on_checkpoint(std::string_view path, std::int64_t epoch) {
  emit("checkpoint", [&](nb::dict& event) {
    event["path"] =
        nb::steal(PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size())));
    event["epoch"] = epoch;
  });
}

void PythonObserver::on_fit_end(const training::FitReport& report) {
  emit("fit_end", [&](nb::dict& event) {
    event["seconds"] = report.seconds;
    add_end(event, report);
    event["interrupted"] = report.interrupted;
  });
}

void PythonObserver::on_failure(const training::TrainingFailure& failure) {
  emit("failure", [&](nb::dict& event) {
    event["epoch"] = failure.epoch;
    event["batch"] = failure.batch;
    event["completed_steps"] = failure.steps;
    event["restored"] = failure.restored;
    event["message"] = text(failure.message);
  });
}

void PythonObserver::on_model_saved(std::string_view path, std::uint64_t bytes) {
  emit("model_saved", [&](nb::dict& event) {
    event["path"] =
        nb::steal(PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size())));
    event["bytes"] = bytes;
  });
}

void PythonObserver::on_usage(const training::Usage& usage) {
  emit("usage", [&](nb::dict& event) {
    event["guest_memory_bytes"] = usage.guest_memory_bytes;
    event["host_bytes"] = usage.host_bytes;
    event["host_calls"] = usage.host_calls;
    event["steps"] = usage.steps;
    event["host_seconds"] = usage.host_seconds;
    event["guest_seconds"] = usage.guest_seconds;
  });
}

}  // namespace wasmgrad::bindings
