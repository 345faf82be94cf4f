#include "wasmgrad/runner/group.hpp"

#include <chrono>
#include <filesystem>
#include <system_error>

#include "wasmgrad/training/collective/rendezvous.hpp"
#include "wasmgrad/training/torch/collective/gloo_collective.hpp"

namespace wasmgrad::runner {

Expected<std::unique_ptr<training::Collective>> join_group(RunConfig& config) {
  if (!config.distributed) return std::unique_ptr<training::Collective>();
  WASMGRAD_ASSIGN(training::Rendezvous where, training::Rendezvous::from_environment());
  where.timeout = std::chrono::ceil<std::chrono::milliseconds>(
      std::chrono::duration<double>(config.distributed->timeout_seconds));
  std::error_code absent;
  if (where.attempt > 0 && config.checkpoint && std::filesystem::exists(*config.checkpoint, absent))
    config.resume = config.checkpoint;
  return training::connect(where);
}

training::Replication replication(const std::optional<Distributed>& how, training::Collective* group) {
  if (!how) return {};
  return {group, how->shard, how->average_every, how->wire};
}

}  // namespace wasmgrad::runner
