// The learning rate over time, as a pure function of the step. Without torch.
#pragma once

#include <cstdint>
#include <limits>

#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

/// True when the rate depends on how many steps an epoch has.
bool needs_epoch_length(const ScheduleOptions& options) noexcept;

/// Factor of the base learning rate at `step` (0-based, over the whole run). The warm-up rises linearly and
/// reaches 1 at its last step; the kinds count from its end. Cosine, one-cycle, exponential and step are
/// torch.optim.lr_scheduler's CosineAnnealingLR, OneCycleLR, ExponentialLR and StepLR over the steps that are
/// left; linear is LinearLR that ends at the minimum. Past the run's end the last value stays. `decays` is
/// how often a plateau was met (Plateau).
double schedule_factor(const ScheduleOptions& options, std::int64_t step, std::int64_t steps_per_epoch,
                       std::int64_t epochs, std::int64_t decays = 0);

/// Where a run with the schedule `plateau` stands: torch.optim.lr_scheduler.ReduceLROnPlateau, in its mode
/// "min" with a relative threshold.
struct Plateau {
  double best_loss = std::numeric_limits<double>::infinity();
  std::int64_t stale_epochs = 0;  ///< since it fell, or since the last decay
  std::int64_t decays = 0;

  /// After an epoch with this monitored loss.
  void judge(double loss, std::int64_t patience) noexcept;
};

}  // namespace wasmgrad::training
