// The learning rate over time, as a pure function of the step. Without torch.
#pragma once

#include <cstdint>

#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training {

/// True when the rate depends on how many steps an epoch has.
bool needs_epoch_length(const ScheduleOptions& options) noexcept;

/// Factor of the base learning rate at `step` (0-based, over the whole run). The warm-up rises linearly and
/// reaches 1 at its last step; the kinds count from its end. Past the run's end a cosine stays at its
/// minimum.
double schedule_factor(const ScheduleOptions& options, std::int64_t step, std::int64_t steps_per_epoch,
                       std::int64_t epochs);

}  // namespace wasmgrad::training
