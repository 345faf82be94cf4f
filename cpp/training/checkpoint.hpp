// What a checkpoint holds: every tensor of the run, its counters, and the options that a resumed run must
// share.
//
// One safetensors file; the counters and options stand in its metadata. Torch header, private to training/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "wasmgrad/training/metrics.hpp"
#include "wasmgrad/training/model_storage.hpp"
#include "wasmgrad/training/options.hpp"

namespace wasmgrad::training {

/// Where a run stands. Random numbers and the data order follow from these and the seed, so nothing else is
/// kept of them.
struct Counters {
  std::int64_t step = 0;           ///< optimizer steps done
  std::int64_t epoch = 0;          ///< whole epochs done
  std::int64_t batch = 0;          ///< steps done in the epoch under way
  std::int64_t train_samples = 0;  ///< of the data set last trained on; 0 before the first fit
  MetricSum sum;                   ///< of the epoch under way
  double best_loss = std::numeric_limits<double>::infinity();  ///< lowest monitored loss
  std::int64_t stale_epochs = 0;                               ///< since best_loss improved
};

/// Errors: kUnsupportedOperation when a tensor's type has no place in the format.
Expected<std::vector<std::byte>> write_checkpoint(const TrainerOptions& options, int threads,
                                                  const Counters& counters,
                                                  const std::vector<NamedTensor>& tensors);

/// Checks the whole file against the run, then copies into `tensors`; they are untouched on error. Errors:
/// kInvalidEncoding when it is not a checkpoint or is damaged; kInvalidArgument, naming what differs from
/// this run.
Expected<Counters> read_checkpoint(std::span<const std::byte> file, const TrainerOptions& options,
                                   int threads, const std::vector<NamedTensor>& tensors);

}  // namespace wasmgrad::training
