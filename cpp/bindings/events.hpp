// The events of a run as Python dictionaries.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>

#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/runner/event_observer.hpp"

namespace wasmgrad::bindings {

nanobind::dict metrics_dict(const training::Metrics& metrics);
nanobind::dict epoch_dict(const training::EpochReport& report);
nanobind::dict report_dict(const training::FitReport& report);

/// Calls `callback` (or nobody, for None) with each event, on a thread that does not hold the interpreter
/// lock, and lets Python's signal handlers run. What either raises requests a stop and is kept for rethrow().
class PythonObserver final : public runner::EventObserver {
 public:
  /// `stop` outlives the observer.
  PythonObserver(nanobind::object callback, StopToken& stop);

  /// Throws what a callback or a signal handler raised, once. Needs the interpreter lock.
  void rethrow();

  /// For the garbage collector.
  [[nodiscard]] nanobind::object& callback() noexcept { return callback_; }

 private:
  void on_event(const runner::Event& event) override;

  nanobind::object callback_;
  StopToken& stop_;
  std::exception_ptr raised_;
};

}  // namespace wasmgrad::bindings
