// The observer's calls as Python dictionaries, with the names and fields of the JSON events.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>

#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/loop/observer.hpp"

namespace wasmgrad::bindings {

nanobind::dict metrics_dict(const training::Metrics& metrics);
nanobind::dict epoch_dict(const training::EpochReport& report);
nanobind::dict report_dict(const training::FitReport& report);

/// Calls `callback` (or nobody, for None) with each event, on a thread that does not hold the interpreter
/// lock, and lets Python's signal handlers run. What either raises requests a stop and is kept for rethrow().
class PythonObserver final : public training::Observer {
 public:
  /// `stop` outlives the observer.
  PythonObserver(nanobind::object callback, StopToken& stop);

  void on_tensor(std::string_view role, const TensorView& tensor, double seconds) override;
  void on_fit_begin(const training::FitInfo& info) override;
  void on_initial(const training::Metrics& metrics) override;
  void on_progress(const training::Progress& progress) override;
  void on_epoch(const training::EpochReport& report) override;
  void on_steps(const training::StepsReport& report) override;
  void on_evaluation(const training::Metrics& metrics, std::int64_t step) override;
  void on_checkpoint(std::string_view path, std::int64_t epoch) override;
  void on_fit_end(const training::FitReport& report) override;
  void on_failure(const training::TrainingFailure& failure) override;
  void on_warning(std::string_view message) override;
  void on_model_saved(std::string_view path, std::uint64_t bytes) override;
  void on_usage(const training::Usage& usage) override;

  /// Throws what a callback or a signal handler raised, once. Needs the interpreter lock.
  void rethrow();

  /// For the garbage collector.
  [[nodiscard]] nanobind::object& callback() noexcept { return callback_; }

 private:
  template <class Fill>
  void emit(const char* name, Fill fill);

  nanobind::object callback_;
  StopToken& stop_;
  std::exception_ptr raised_;
};

}  // namespace wasmgrad::bindings
