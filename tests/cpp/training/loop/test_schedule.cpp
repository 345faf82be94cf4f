#include <doctest/doctest.h>

#include <array>

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

TEST_CASE("a cosine falls from one to its minimum at the run's end") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kCosine;
  options.minimum_factor = 0.1;
  CHECK(factor(options, 0) == doctest::Approx(1));
  // torch.optim.lr_scheduler.CosineAnnealingLR(T_max=60, eta_min=0.1) of a rate of 1, stepped after each
  // step.
  CHECK(factor(options, 15) == doctest::Approx(0.8681980515339464));
  CHECK(factor(options, 59) == doctest::Approx(0.10061670936044179));
  CHECK(factor(options, 60) == doctest::Approx(0.1));
  CHECK(factor(options, 1000) == doctest::Approx(0.1));
}

TEST_CASE("an exponential schedule multiplies by gamma once an epoch") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kExponential;
  options.gamma = 0.5;
  CHECK(factor(options, 9) == 1);
  CHECK(factor(options, 10) == 0.5);
  CHECK(factor(options, 35) == 0.125);
}

TEST_CASE("a linear schedule is a straight line to its minimum") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kLinear;
  options.minimum_factor = 0.4;
  CHECK(factor(options, 0) == 1);
  CHECK(factor(options, 30) == doctest::Approx(0.7));
  CHECK(factor(options, 60) == doctest::Approx(0.4));
  CHECK(factor(options, 90) == doctest::Approx(0.4));
}

TEST_CASE("one cycle rises to one and falls to the end, as torch's OneCycleLR") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kOneCycle;
  // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=60), stepped after each step.
  CHECK(factor(options, 0) == doctest::Approx(0.04));
  CHECK(factor(options, 5) == doctest::Approx(0.2307353745379569));
  CHECK(factor(options, 17) == doctest::Approx(1));
  CHECK(factor(options, 30) == doctest::Approx(0.7816609023916948));
  CHECK(factor(options, 59) == doctest::Approx(4e-6));
  CHECK(factor(options, 90) == doctest::Approx(4e-6));
}

TEST_CASE("a plateau is met when the loss did not fall for more epochs than the patience") {
  ScheduleOptions options;
  options.kind = ScheduleKind::kPlateau;
  options.gamma = 0.5;
  Plateau plateau;
  // The epochs after which ReduceLROnPlateau(patience=1, factor=0.5) has halved the rate.
  const std::array losses{1.0, 0.9, 0.9, 0.89999, 0.8, 0.9, 0.9, 0.9, 0.9, 0.7};
  const std::array<std::int64_t, 10> decays{0, 0, 0, 1, 1, 1, 2, 2, 3, 3};
  for (std::size_t i = 0; i < losses.size(); ++i) {
    plateau.judge(losses[i], 1);
    CHECK(plateau.decays == decays[i]);
  }
  CHECK(schedule_factor(options, 7, kSteps, kEpochs, plateau.decays) == 0.125);
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
