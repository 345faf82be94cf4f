#include <doctest/doctest.h>

#include "wasmgrad/training/loop/schedule.hpp"

using namespace wasmgrad::training;

namespace {

constexpr std::int64_t kSteps = 10;  // an epoch's
constexpr std::int64_t kEpochs = 6;

double factor(const ScheduleOptions& options, std::int64_t step) {
  return schedule_factor(options, step, kSteps, kEpochs);
}

}  // namespace

TEST_CASE("a constant schedule keeps the rate") {
  CHECK(factor({}, 0) == 1);
  CHECK(factor({}, 59) == 1);
}

TEST_CASE("a step schedule multiplies by gamma every so many epochs") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kStep;
  options.step_epochs = 2;
  options.gamma = 0.5;
  CHECK(factor(options, 19) == 1);
  CHECK(factor(options, 20) == 0.5);
  CHECK(factor(options, 40) == 0.25);
}

TEST_CASE("a cosine falls from one to its minimum at the last step") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kCosine;
  options.minimum_factor = 0.1;
  CHECK(factor(options, 0) == doctest::Approx(1));
  CHECK(factor(options, 59) == doctest::Approx(0.1));
  CHECK(factor(options, 1000) == doctest::Approx(0.1));
  CHECK((factor(options, 29) + factor(options, 30)) / 2 == doctest::Approx(0.55));
}

TEST_CASE("a warm-up rises linearly and the schedule counts from its end") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kStep;
  options.warmup_epochs = 2;
  options.gamma = 0.5;
  CHECK(factor(options, 0) == doctest::Approx(0.05));
  CHECK(factor(options, 9) == doctest::Approx(0.5));
  CHECK(factor(options, 19) == doctest::Approx(1));
  CHECK(factor(options, 20) == 1);
  CHECK(factor(options, 30) == 0.5);
}

TEST_CASE("a cosine that is all warm-up ends at its minimum") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kCosine;
  options.warmup_epochs = kEpochs;
  options.minimum_factor = 0.2;
  CHECK(factor(options, 59) == doctest::Approx(1));
  CHECK(factor(options, 60) == doctest::Approx(0.2));
}

TEST_CASE("only a changing rate needs an epoch's length") {
  CHECK_FALSE(needs_epoch_length({}));
  ScheduleOptions warmup;
  warmup.warmup_epochs = 1;
  CHECK(needs_epoch_length(warmup));
}
