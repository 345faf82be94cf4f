// Sums behind the metrics of one pass over data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "wasmgrad/training/loop/observer.hpp"

namespace wasmgrad::training {

struct MetricSum {
  double loss = 0;  ///< of all samples together
  std::int64_t samples = 0;
  std::int64_t ranked = 0;  ///< targets of a classification, of which one sample may have several or none
  std::int64_t correct = 0;
  std::int64_t in_top_k = 0;
  std::int64_t classes = 0;  ///< width of the model's output; 0 for regression

  void add(const MetricSum& other);
  /// A batch's mean loss.
  void add_loss(double mean, std::int64_t batch_samples);
  /// Ranks each of N targets but those that are `ignored` among its row of `output` (N * C values, row after
  /// row) in one pass; of equal values the lower class ranks first.
  void add_ranks(std::span<const float> output, std::span<const std::int64_t> targets,
                 std::optional<std::int64_t> ignored, std::int64_t top_k);

  /// Top-k accuracy is present when there are more than `top_k` classes.
  [[nodiscard]] Metrics mean(std::int64_t top_k) const;
};

}  // namespace wasmgrad::training
