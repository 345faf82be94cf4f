// Puts one run together: a sandbox whose training imports are served by the training host, in this process.
#pragma once

#include <cstdint>
#include <optional>

#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/runner/run_config.hpp"
#include "wasmgrad/training/loop/observer.hpp"

namespace wasmgrad::runner {

struct RunReport {
  std::uint32_t exit_code = 0;  ///< the guest's
  std::optional<abi::TrainingOutcome> outcome;
  double seconds = 0;
};

/// Whether a process runs one guest and nothing else. The limit on handles is the process's, and is kept in
/// such a process only.
enum class Process : std::uint8_t { kShared, kOwn };

/// Runs the guest to its end. View, wall time and the limit on output are the caller's business (the
/// supervisor's, for an isolated run). `group` is what join_group() gave. Errors: kPeerLost when another
/// process of it was lost; the first one has written the checkpoint of the last step then.
Expected<RunReport> run(const RunConfig& config, training::Observer* observer, const StopToken* stop,
                        Process process = Process::kShared, training::Collective* group = nullptr);

}  // namespace wasmgrad::runner
