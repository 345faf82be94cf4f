// How a run joins those in other processes.
#pragma once

#include <memory>
#include <optional>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/runner/run_config.hpp"
#include "wasmgrad/training/collective/collective.hpp"

namespace wasmgrad::runner {

/// The processes that the configuration and the environment name, once all have come; null for a run that is
/// alone. A run that was started anew because a process was lost goes on from its checkpoint: `config` says
/// so afterwards. Errors: those of Rendezvous::from_environment() and training::connect().
Expected<std::unique_ptr<training::Collective>> join_group(RunConfig& config);

/// The same for trainers. `group` may be null.
training::Replication replication(const std::optional<Distributed>& how, training::Collective* group);

}  // namespace wasmgrad::runner
