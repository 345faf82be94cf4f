#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "wasmgrad/training/loop/metrics.hpp"

using namespace wasmgrad::training;

namespace {

const float kNaN = std::numeric_limits<float>::quiet_NaN();

MetricSum ranked(const std::vector<float>& output, const std::vector<std::int64_t>& targets,
                 std::int64_t top_k, std::optional<std::int64_t> ignored = {}) {
  MetricSum sum;
  sum.add_ranks(output, targets, ignored, top_k);
  return sum;
}

}  // namespace

TEST_CASE("a target with the highest value is correct, one among the k highest is in the top k") {
  const MetricSum sum = ranked({3, 2, 1, 0, 3, 2, 1, 0, 3, 2, 1, 0}, {0, 1, 3}, 2);
  CHECK(sum.correct == 1);
  CHECK(sum.in_top_k == 2);
}

TEST_CASE("of equal values the lower class ranks first, as argmax has it") {
  CHECK(ranked({1, 1, 1}, {0}, 1).correct == 1);
  CHECK(ranked({1, 1, 1}, {1}, 1).correct == 0);
}

TEST_CASE("what is not a number is never correct") {
  const MetricSum sum = ranked({kNaN, kNaN, kNaN}, {0}, 2);
  CHECK(sum.correct == 0);
  CHECK(sum.in_top_k == 0);
}

TEST_CASE("a target that does not count has no part in the accuracies") {
  MetricSum sum = ranked({1, 0, 0, 1, 0, 1}, {0, 9, 0}, 1, 9);
  CHECK(sum.ranked == 2);
  CHECK(sum.correct == 1);
  sum.add_loss(1, 1);  // of one sample with three positions
  CHECK(sum.mean(1).accuracy == 0.5);
  MetricSum none = ranked({1, 0}, {9}, 1, 9);
  none.add_loss(0, 1);
  CHECK_FALSE(none.mean(1).accuracy);
}

TEST_CASE("a mean weighs batches by their samples") {
  MetricSum sum;
  sum.add_loss(1, 3);
  sum.add_loss(5, 1);
  CHECK(sum.mean(5).loss == 2);
  CHECK(sum.mean(5).samples == 4);
  CHECK_FALSE(sum.mean(5).accuracy);
}

TEST_CASE("top-k accuracy needs more classes than k") {
  MetricSum sum = ranked({3, 2, 1}, {1}, 2);
  sum.add_loss(1, 1);
  CHECK(sum.mean(2).top_k_accuracy == 1);
  CHECK_FALSE(sum.mean(3).top_k_accuracy);
}

TEST_CASE("nothing has no mean") { CHECK(std::isnan(MetricSum().mean(5).loss)); }
