#include "wasmgrad/training/loop/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace wasmgrad::training {

namespace {

constexpr double kPlateauThreshold = 1e-4;  ///< of the best loss; torch's default

/// From `from` to `to` along half a cosine; `progress` is 0..1.
double cosine(double from, double to, double progress) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * progress)) / 2;
}

/// As torch's OneCycleLR over `steps` steps, as a factor of its max_lr.
double one_cycle(const ScheduleOptions& options, double step, double steps) {
  const double first = 1 / options.start_divisor;
  const double peak = options.peak_at * steps - 1;
  const double last = steps - 1;
  if (step <= peak) return cosine(first, 1, step / peak);
  const double progress = last <= peak ? 1 : std::min(1.0, (step - peak) / (last - peak));
  return cosine(1, first / options.end_divisor, progress);
}

}  // namespace

bool needs_epoch_length(const ScheduleOptions& options) noexcept {
  const bool constant = options.kind == ScheduleKind::kConstant || options.kind == ScheduleKind::kPlateau;
  return !constant || options.warmup_epochs > 0;
}

double schedule_factor(const ScheduleOptions& options, std::int64_t step, std::int64_t steps_per_epoch,
                       std::int64_t epochs, std::int64_t decays) {
  const double warmup = static_cast<double>(options.warmup_epochs) * static_cast<double>(steps_per_epoch);
  const auto position = static_cast<double>(step);
  if (position < warmup) return (position + 1) / warmup;
  const double left = static_cast<double>(epochs) * static_cast<double>(steps_per_epoch) - warmup;
  const double progress = left <= 0 ? 1 : std::min(1.0, (position - warmup) / left);
  const std::int64_t epoch = step / steps_per_epoch - options.warmup_epochs;
  switch (options.kind) {
    case ScheduleKind::kConstant:
      return 1;
    case ScheduleKind::kStep: {
      const std::int64_t drops = epoch / options.step_epochs;
      return std::pow(options.gamma, static_cast<double>(drops));
    }
    case ScheduleKind::kExponential:
      return std::pow(options.gamma, static_cast<double>(epoch));
    case ScheduleKind::kCosine:
      return cosine(1, options.minimum_factor, progress);
    case ScheduleKind::kLinear:
      return 1 + (options.minimum_factor - 1) * progress;
    case ScheduleKind::kOneCycle:
      return one_cycle(options, position - warmup, left);
    case ScheduleKind::kPlateau:
      return std::pow(options.gamma, static_cast<double>(decays));
  }
  return 1;
}

void Plateau::judge(double loss, std::int64_t patience) noexcept {
  if (loss < best_loss * (1 - kPlateauThreshold)) {
    best_loss = loss;
    stale_epochs = 0;
  } else if (++stale_epochs > patience) {
    ++decays;
    stale_epochs = 0;
  }
}

}  // namespace wasmgrad::training
