// The processes that train one model together: what they sum, copy from the first one, and agree on.
//
// Every exchange begins with a meeting, in which each process says where in the run it stands. Those that are
// not at the same place get an error, and nothing is exchanged: neither do they wait for each other, nor are
// buffers mixed up. How bytes travel is an implementation's. It must not know torch or sockets.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/loop/metrics.hpp"

namespace wasmgrad::training {

/// What processes meet for.
enum class Operation : std::uint8_t {
  kResume,   ///< the first process's checkpoint, for all
  kState,    ///< its parameters, buffers and optimizer, for all
  kEpochs,   ///< the beginning of epochs over a data set
  kStep,     ///< one optimizer step
  kAverage,  ///< the mean of the parameters after steps of each process's own
  kEvaluation,
  kEnd,  ///< the guest has ended
};

/// A place in a run: equal in all processes.
struct Meeting {
  Operation operation;
  std::int64_t step = 0;    ///< optimizer steps done
  std::uint64_t bytes = 0;  ///< what is exchanged after the meeting
  std::uint64_t facts = 0;  ///< a hash (Facts) of whatever else must be equal
};

/// What one process brings to a meeting.
struct Share {
  MetricSum sum;
  double weight = 0;         ///< of its part in a mean
  std::int64_t samples = 0;  ///< of its data set
  std::int64_t batches = 0;  ///< that these make
  bool failed = false;       ///< it cannot go on
  bool stop = false;         ///< its owner asked to stop
};

/// What all brought, the same in each process.
struct Agreement {
  MetricSum sum;
  double weight = 0;
  std::int64_t samples = 0;
  std::int64_t batches = 0;  ///< the most
};

/// A hash of what must be equal in all processes: FNV-1a.
class Facts {
 public:
  Facts& add(std::span<const std::byte> bytes) noexcept;
  Facts& add(std::string_view text) noexcept { return add(std::as_bytes(std::span(text))); }
  Facts& add(std::int64_t number) noexcept { return add(std::as_bytes(std::span(&number, 1))); }
  Facts& add(double number) noexcept { return add(std::as_bytes(std::span(&number, 1))); }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325;
};

/// How numbers of a sum travel.
enum class Wire : std::uint8_t {
  kF32,
  kBF16,  ///< half the bytes; each addend and partial sum is rounded to eight significant bits
};

/// All members but stop_agreed() are called by one thread, in all processes in the same order.
class Collective {
 public:
  Collective() = default;
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;
  virtual ~Collective() = default;

  [[nodiscard]] virtual int rank() const noexcept = 0;
  [[nodiscard]] virtual int size() const noexcept = 0;

  /// Errors: kInvalidArgument, naming both places, when another process is elsewhere in the run;
  /// kRuntimeError when another one failed (`mine.failed` itself is no error here, unless another failed
  /// first); kInterrupted when one was lost, which failure() then tells.
  Expected<Agreement> meet(const Meeting& meeting, const Share& mine);

  /// The sums over all processes, the same bits in each; the same from run to run for the same number of
  /// processes and values. After a meeting. Errors: kInterrupted when a process was lost; the values are then
  /// of no use.
  Status sum(std::span<float> values, Wire wire = Wire::kF32);
  /// The first process's bytes. Errors: as sum().
  Status copy_from_first(std::span<std::byte> bytes);

  /// Whether a process's owner had asked to stop at the last meeting.
  [[nodiscard]] bool stop_agreed() const noexcept { return stop_agreed_; }
  /// Why nothing can be exchanged any more: another process was lost.
  [[nodiscard]] const std::optional<std::string>& failure() const noexcept { return failure_; }

 protected:
  // Errors of all three: whatever stood in the way. Nothing is exchanged any more afterwards.
  /// Each process's `mine`, of the same size in all, in the order of ranks.
  virtual Status gather(std::span<const std::byte> mine, std::span<std::byte> all) = 0;
  virtual Status add_up(std::span<float> values, Wire wire) = 0;
  virtual Status copy_first(std::span<std::byte> bytes) = 0;

 private:
  Status lost(const Status& status);

  Meeting last_{};
  std::atomic<bool> stop_agreed_ = false;
  std::optional<std::string> failure_;
};

/// How a trainer works together with those of other processes.
struct Replication {
  Collective* group = nullptr;  ///< null: alone; outlives the trainer
  bool shard = false;           ///< each process's data is its own, not a part of what all have
  std::int64_t average_every =
      1;                   ///< steps between two exchanges; above 1, of parameters instead of gradients
  Wire wire = Wire::kF32;  ///< of gradients

  [[nodiscard]] bool several() const noexcept { return group != nullptr && group->size() > 1; }
};

}  // namespace wasmgrad::training
