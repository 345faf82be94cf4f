#include "wasmgrad/abi/v1/run_record.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "wasmgrad/base/file.hpp"

namespace wasmgrad::abi::v1 {

Expected<std::shared_ptr<TrainerRun>> RunRecord::begin(training::Trainer& trainer,
                                                       std::shared_ptr<const training::Model> model) {
  const HostConfig& config = context_.config;
  for (const auto& target : {config.checkpoint, config.output, config.adapters, config.weights_output}) {
    if (!target) continue;
    if (const Status writable = check_can_write(*target); !writable) {
      return context_.owner_error(writable.error(), "the owner's files of this run cannot be written");
    }
  }
  if (const Status some = context_.check_adapters(trainer.options()); !some)
    return context_.owner_error(some.error(),
                                "the owner wants low-rank branches, which the option lora gives");
  const bool is_first = !resumed_;
  bool resumes = false;
  if (is_first) {
    const auto restored = [&]() -> Status {
      WASMGRAD_ASSIGN(const auto checkpoint, context_.read_resumed());
      if (!checkpoint) return {};
      resumes = true;
      return trainer.restore(*checkpoint);
    }();
    if (!restored) {
      return context_.owner_error(restored.error().within(context_.resumed_name()),
                                  "the owner's checkpoint cannot be restored into this trainer");
    }
    resumed_ = true;
  }
  auto run = std::make_shared<TrainerRun>(
      TrainerRun{std::move(model), {}, trainer.steps(), resumes, resumes ? trainer.epoch() : 0});
  // What was resumed is the run's result even when nothing is left to train.
  if (resumes) last_ = run;
  // Processes that are started anew go on from a checkpoint of this run, not of one before it.
  if (config.replication.group != nullptr && is_first && !resumes) {
    run->saved_steps = -1;
    WASMGRAD_CHECK(save_checkpoint(*run, trainer));
  }
  return run;
}

Expected<std::int64_t> RunRecord::allowed_epochs(const TrainerRun& run, std::int64_t done,
                                                 std::int64_t wanted) {
  const auto& most = context_.config.overrides.epochs;
  if (!most || wanted == 0) return wanted;
  if (done < *most) return std::min(wanted, *most - done);
  if (run.resumed && run.report.epochs.empty()) return 0;
  context_.epochs_used_up = true;
  return Error{Errc::kInterrupted, "the owner allows " + std::to_string(*most) + " epochs, which are done"};
}

void RunRecord::add(const std::shared_ptr<TrainerRun>& run, const training::FitReport& report) {
  last_ = run;
  training::FitReport& all = run->report;
  if (!all.initial) all.initial = report.initial;
  all.epochs.insert(all.epochs.end(), report.epochs.begin(), report.epochs.end());
  all.stopped_early = report.stopped_early;
  all.interrupted = report.interrupted;
  all.seconds += report.seconds;
}

void RunRecord::add_batch(const std::shared_ptr<TrainerRun>& run, double seconds) {
  last_ = run;
  run->report.seconds += seconds;
}

Status RunRecord::save_checkpoint(TrainerRun& run, const training::Trainer& trainer) {
  const auto& file = context_.config.checkpoint;
  if (!file || run.saved_steps == trainer.steps()) return {};
  const auto saved = [&]() -> Status {
    WASMGRAD_ASSIGN(const auto state, trainer.checkpoint());
    return write_file_atomic(*file, state);
  }();
  if (!saved) {
    return context_.owner_error(saved.error().within("checkpoint"),
                                "the owner's checkpoint cannot be written");
  }
  run.saved_steps = trainer.steps();
  if (context_.config.observer != nullptr) {
    context_.config.observer->on_checkpoint(file->native(), trainer.epoch());
  }
  return {};
}

}  // namespace wasmgrad::abi::v1
