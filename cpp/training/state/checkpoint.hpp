// What a checkpoint holds: every tensor of the run, its counters, and the options that a resumed run must
// share.
//
// One safetensors file; the counters and options stand in its metadata.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/training/loop/metrics.hpp"
#include "wasmgrad/training/loop/schedule.hpp"
#include "wasmgrad/training/options/options.hpp"
#include "wasmgrad/training/state/safetensors.hpp"

namespace wasmgrad::training {

/// Where a run stands. Random numbers and the data order follow from these and the seed, so nothing else is
/// kept of them.
struct Counters {
  std::int64_t step = 0;           ///< optimizer steps done
  std::int64_t passes = 0;         ///< batches whose gradients were computed; numbers the random draws
  std::int64_t epoch = 0;          ///< whole epochs done
  std::int64_t batch = 0;          ///< batches done in the epoch under way
  std::int64_t train_samples = 0;  ///< of the data set last trained on; 0 before the first fit
  MetricSum sum;                   ///< of the epoch under way
  double best_loss = std::numeric_limits<double>::infinity();  ///< lowest monitored loss
  std::int64_t stale_epochs = 0;                               ///< since best_loss improved
  std::int64_t best_epoch = 0;  ///< 1-based, the one of best_loss; 0: none, or not known
  Plateau plateau;
};

/// Hyper-parameters that were set during the run, by their names in kSettings.
using Settings = std::map<std::string, double, std::less<>>;

/// The file of a run that stands there.
Expected<std::vector<std::byte>> write_checkpoint(const TrainerOptions& options, int threads,
                                                  const Settings& settings, const Counters& counters,
                                                  bool best_shown, std::span<const TensorView> tensors);

/// A file that was read; its tensors point into the file's bytes.
struct Checkpoint {
  Counters counters;
  Settings settings;
  bool best_shown = false;  ///< the model showed its best weights; the trainer's own stand beside them
  Safetensors file;

  /// Whether there are tensors whose names begin so.
  [[nodiscard]] bool has(std::string_view prefix) const;
};

/// Absent `threads` may be any. Errors: kInvalidEncoding when it is not a checkpoint or is damaged;
/// kInvalidArgument, naming which option differs from this run.
Expected<Checkpoint> read_checkpoint(std::span<const std::byte> file, const TrainerOptions& options,
                                     std::optional<int> threads);

/// Whether the checkpoint has just these tensors, by name, shape and type, undamaged. Errors: as
/// read_checkpoint().
Status check_tensors(const Checkpoint& checkpoint, std::span<const TensorView> tensors);

}  // namespace wasmgrad::training
