// A trainer's side of working together with the trainers of other processes: which rows are its own, and
// what is summed, when. Torch header, private to training/torch/.
//
// Every process has the same parameters, buffers and optimizer at all times, or, with average_every above 1,
// after each average. It must not know epochs or datasets.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/collective/collective.hpp"
#include "wasmgrad/training/data/dealing.hpp"
#include "wasmgrad/training/torch/loop/learner.hpp"

namespace wasmgrad::training {

class Replicas {
 public:
  Replicas(const Replication& how, const StopToken* stop) : how_(how), stop_(stop) {}

  /// Whether there may be others: there were, before this process went on alone, or will be.
  [[nodiscard]] bool in_group() const noexcept { return how_.group != nullptr; }
  [[nodiscard]] bool several() const noexcept { return how_.several(); }
  /// Whether each step sums the gradients of all; else the parameters are averaged now and then.
  [[nodiscard]] bool sums_gradients() const noexcept { return several() && how_.average_every == 1; }
  [[nodiscard]] bool averages() const noexcept { return several() && how_.average_every > 1; }
  [[nodiscard]] bool shards() const noexcept { return several() && how_.shard; }
  /// Which rows are this process's.
  [[nodiscard]] Dealing dealing() const noexcept;
  /// The weight of this process's rows of a batch.
  [[nodiscard]] double weight(std::int64_t own_rows, std::int64_t all_rows) const noexcept;
  /// Each process draws other numbers; the first those that it would draw alone.
  [[nodiscard]] std::uint64_t dropout_seed(std::uint64_t seed) const noexcept;
  /// Whether the owner asked to stop: when there are several, whether all have agreed to.
  [[nodiscard]] bool stop_requested() const noexcept;

  /// Comes to a meeting, also when this process's own part `own` failed, so that nobody waits for it. Errors:
  /// `own`'s; those of Collective::meet().
  Expected<Agreement> meet(const Meeting& meeting, Share mine, const Status& own);

  /// The first process's values for all. Errors: those of Collective.
  Status copy_from_first(const std::vector<at::Tensor>& tensors);

  /// Of all processes: the sums of the pending gradients in the learner, the mean of what training writes
  /// besides them, and the metrics in `sum`. `facts` are what else must be equal. Errors: those of meet().
  Status sum_gradients(Learner& learner, std::int64_t step, std::uint64_t facts, const Status& own,
                       MetricSum& sum);

  /// Counts a step of this process's own.
  void count(const MetricSum& sum, double weight) noexcept;
  /// Whether so many were counted that an average is due; or any, `at_end`.
  [[nodiscard]] bool average_due(bool at_end) const noexcept {
    return averages() && steps_since_ >= (at_end ? 1 : how_.average_every);
  }
  /// The means of parameters and of what training writes besides them over all processes, and the metrics
  /// since the last one. Errors: those of meet().
  Expected<MetricSum> average(Learner& learner, std::int64_t step, std::uint64_t facts, const Status& own);

 private:
  struct Written;
  /// Room for a sum of so many values. They are of the last one.
  std::span<float> room(std::int64_t values);

  Replication how_;
  const StopToken* stop_;
  at::Tensor flat_;
  MetricSum since_;  ///< the last average
  double weight_since_ = 0;
  std::int64_t steps_since_ = 0;
};

}  // namespace wasmgrad::training
