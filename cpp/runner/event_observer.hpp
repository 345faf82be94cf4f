// What a run tells its owner, as events: their names and fields, which JSON lines and Python's dictionaries
// share.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "wasmgrad/training/loop/observer.hpp"

namespace wasmgrad::runner {

/// An object with its fields in order. A number that is not finite stands for null; text may have bytes that
/// are not UTF-8.
using Event = nlohmann::ordered_json;

Event to_json(const training::Metrics& metrics);
Event to_json(const training::EpochReport& report);
Event to_json(const training::FitReport& report);

/// Turns each call of an observer into an event.
class EventObserver : public training::Observer {
 public:
  void on_tensor(std::string_view role, const TensorView& tensor, double seconds) override;
  void on_classes(std::int64_t classes) override { classes_ = classes; }
  void on_fit_begin(const training::FitInfo& info) override;
  void on_initial(const training::Metrics& metrics) override;
  void on_progress(const training::Progress& progress) override;
  void on_epoch(const training::EpochReport& report) override;
  void on_steps(const training::StepsReport& report) override;
  void on_evaluation(const training::Metrics& metrics, std::int64_t step) override;
  void on_report(std::string_view name, double value) override;
  void on_checkpoint(std::string_view path, std::int64_t epoch) override;
  void on_fit_end(const training::FitReport& report) override;
  void on_failure(const training::TrainingFailure& failure) override;
  void on_warning(std::string_view message) override;
  void on_model_saved(std::string_view path, std::uint64_t bytes) override;
  void on_usage(const training::Usage& usage) override;

 private:
  /// Must not throw.
  virtual void on_event(const Event& event) = 0;

  std::int64_t classes_ = 0;  // as on_classes() said
};

}  // namespace wasmgrad::runner
