#include "wasmgrad/training/loop/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace wasmgrad::training {

bool needs_epoch_length(const ScheduleOptions& options) noexcept {
  return options.kind != ScheduleKind::kConstant || options.warmup_epochs > 0;
}

double schedule_factor(const ScheduleOptions& options, std::int64_t step, std::int64_t steps_per_epoch,
                       std::int64_t epochs) {
  const double warmup = static_cast<double>(options.warmup_epochs) * static_cast<double>(steps_per_epoch);
  const auto position = static_cast<double>(step);
  if (position < warmup) return (position + 1) / warmup;
  switch (options.kind) {
    case ScheduleKind::kConstant:
      return 1;
    case ScheduleKind::kStep: {
      const std::int64_t epoch = step / steps_per_epoch - options.warmup_epochs;
      const std::int64_t drops = epoch / options.step_epochs;
      return std::pow(options.gamma, static_cast<double>(drops));
    }
    case ScheduleKind::kCosine: {
      const double last = static_cast<double>(epochs) * static_cast<double>(steps_per_epoch) - 1;
      const double progress = last <= warmup ? 1 : std::min(1.0, (position - warmup) / (last - warmup));
      return options.minimum_factor +
             (1 - options.minimum_factor) * (1 + std::cos(std::numbers::pi * progress)) / 2;
    }
  }
  return 1;
}

}  // namespace wasmgrad::training
