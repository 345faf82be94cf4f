#include "wasmgrad/training/loop/metrics.hpp"

#include <cmath>

namespace wasmgrad::training {

namespace {

/// How many classes rank before `target`; all of them when its value is not a number.
std::int64_t rank_of(std::int64_t target, const float* row, std::int64_t classes) {
  const float value = row[target];
  if (std::isnan(value)) return classes;
  std::int64_t before = 0;
  for (std::int64_t c = 0; c < classes; ++c) before += row[c] > value ? 1 : 0;
  for (std::int64_t c = 0; c < target; ++c) before += row[c] == value ? 1 : 0;
  return before;
}

}  // namespace

void MetricSum::add(const MetricSum& other) {
  loss += other.loss;
  samples += other.samples;
  ranked += other.ranked;
  correct += other.correct;
  in_top_k += other.in_top_k;
  classes = other.classes;
}

void MetricSum::add_loss(double mean, std::int64_t batch_samples) {
  loss += mean * static_cast<double>(batch_samples);
  samples += batch_samples;
}

void MetricSum::add_ranks(std::span<const float> output, std::span<const std::int64_t> targets,
                          std::optional<std::int64_t> ignored, std::int64_t top_k) {
  classes = static_cast<std::int64_t>(output.size() / targets.size());
  const float* row = output.data() - classes;
  for (const std::int64_t target : targets) {
    row += classes;
    if (target == ignored) continue;
    const std::int64_t rank = rank_of(target, row, classes);
    ++ranked;
    correct += rank == 0 ? 1 : 0;
    in_top_k += rank < top_k ? 1 : 0;
  }
}

Metrics MetricSum::mean(std::int64_t top_k) const {
  Metrics metrics;
  metrics.samples = samples;
  if (samples == 0) return metrics;
  metrics.loss = loss / static_cast<double>(samples);
  if (ranked == 0) return metrics;
  const auto count = static_cast<double>(ranked);
  metrics.accuracy = static_cast<double>(correct) / count;
  if (classes > top_k) metrics.top_k_accuracy = static_cast<double>(in_top_k) / count;
  return metrics;
}

}  // namespace wasmgrad::training
