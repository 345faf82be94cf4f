// The owner's side of the trainers that a guest drives: the owner's files and overrides, and which
// model is the run's result. The guest takes no part in it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/training/loop/trainer.hpp"

namespace wasmgrad::abi::v1 {

/// What is kept of a trainer for the owner. It may outlive the trainer.
struct TrainerRun {
  std::shared_ptr<const training::Model> model;
  training::FitReport report;       ///< of all its epochs
  std::int64_t saved_steps = 0;     ///< how many of its steps the owner's checkpoint has
  bool resumed = false;             ///< it began with the owner's checkpoint
  std::int64_t resumed_epochs = 0;  ///< of that checkpoint's, those that no fit has counted yet
};

/// Errors are for the guest and show no path of the host; the owner gets the whole sentence at the end.
class RunRecord {
 public:
  explicit RunRecord(GuestContext& context) : context_(context) {}

  /// A trainer was made: checks that the owner's files can be written, and restores the owner's
  /// checkpoint into the first trainer.
  Expected<std::shared_ptr<TrainerRun>> begin(training::Trainer& trainer,
                                              std::shared_ptr<const training::Model> model);

  /// How many of `wanted` epochs a trainer that has done `done` may do; none of them when it was resumed
  /// there. Errors: kInterrupted when the owner's number of epochs is reached.
  [[nodiscard]] Expected<std::int64_t> allowed_epochs(const TrainerRun& run, std::int64_t done,
                                                      std::int64_t wanted);

  /// The trainer did whole epochs, the last of which may be under way.
  void add(const std::shared_ptr<TrainerRun>& run, const training::FitReport& report);
  /// The trainer worked on a batch of the guest's own.
  void add_batch(const std::shared_ptr<TrainerRun>& run, double seconds);

  /// Writes the owner's checkpoint, if one is wanted and it lacks a step. Errors: kRuntimeError, ...
  Status save_checkpoint(TrainerRun& run, const training::Trainer& trainer);

  /// The run of the trainer that trained last; null when none did.
  [[nodiscard]] const std::shared_ptr<TrainerRun>& last() const noexcept { return last_; }

 private:
  GuestContext& context_;
  bool resumed_ = false;
  std::shared_ptr<TrainerRun> last_;
};

}  // namespace wasmgrad::abi::v1
