#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "wasmgrad/training/options/overrides.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;

TEST_CASE("names and kinds map to each other") {
  for (const auto kind :
       {OptimizerKind::kAdam, OptimizerKind::kRMSProp, OptimizerKind::kSGD, OptimizerKind::kAdamW}) {
    CHECK(parse_optimizer(name_of(kind)).value() == kind);
  }
  for (const auto kind : {LossKind::kCrossEntropy, LossKind::kCrossEntropyLogits, LossKind::kMSE,
                          LossKind::kL1, LossKind::kHuber, LossKind::kBCEWithLogits}) {
    CHECK(parse_loss(name_of(kind)).value() == kind);
  }
  for (const auto kind : {ScheduleKind::kConstant, ScheduleKind::kStep, ScheduleKind::kCosine}) {
    CHECK(parse_schedule(name_of(kind)).value() == kind);
  }
}

TEST_CASE("cross_entropy means logits") {
  CHECK(parse_loss("cross_entropy").value() == LossKind::kCrossEntropyLogits);
}

TEST_CASE("an unknown name is answered with the known ones") {
  const auto result = parse_optimizer("newton");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::kInvalidArgument);
  CHECK(result.error().message ==
        "unknown optimizer 'newton'; known are adam, rmsprop, sgd, adamw, adagrad, nadam, radam, lion, lamb");
}

TEST_CASE("the guest ABI's numbers are the original's") {
  CHECK(optimizer_from_abi(0).value() == OptimizerKind::kAdam);
  CHECK(optimizer_from_abi(1).value() == OptimizerKind::kRMSProp);
  CHECK(optimizer_from_abi(2).value() == OptimizerKind::kSGD);
  CHECK(loss_from_abi(0).value() == LossKind::kCrossEntropy);
  CHECK(loss_from_abi(1).value() == LossKind::kCrossEntropyLogits);
}

TEST_CASE("numbers outside the guest ABI are refused") {
  CHECK_FALSE(optimizer_from_abi(-1));
  CHECK_FALSE(optimizer_from_abi(99));
  CHECK_FALSE(loss_from_abi(99));
  CHECK_FALSE(loss_from_abi(std::int64_t{1} << 32));
}

TEST_CASE("the defaults are valid") { CHECK(validate({})); }

TEST_CASE("an option out of range is named with its value") {
  struct Case {
    const char* expected;
    std::function<void(TrainerOptions&)> change;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const Case cases[] = {
      {"learning_rate is nan", [=](auto& o) { o.optimizer.learning_rate = nan; }},
      {"learning_rate is inf", [=](auto& o) { o.optimizer.learning_rate = infinity; }},
      {"learning_rate is -1", [](auto& o) { o.optimizer.learning_rate = -1; }},
      {"weight_decay is -1", [](auto& o) { o.optimizer.weight_decay = -1; }},
      {"beta1 is 1", [](auto& o) { o.optimizer.beta1 = 1; }},
      {"beta2 is nan", [=](auto& o) { o.optimizer.beta2 = nan; }},
      {"epsilon is -1", [](auto& o) { o.optimizer.epsilon = -1; }},
      {"momentum is -1", [](auto& o) { o.optimizer.momentum = -1; }},
      {"momentum is 0", [](auto& o) { o.optimizer.kind = OptimizerKind::kSGD, o.optimizer.nesterov = true; }},
      {"nesterov is on", [](auto& o) { o.optimizer.nesterov = true, o.optimizer.momentum = 0.9; }},
      {"alpha is 1", [](auto& o) { o.optimizer.alpha = 1; }},
      {"warmup_epochs is -1", [](auto& o) { o.schedule.warmup_epochs = -1; }},
      {"step_epochs is 0", [](auto& o) { o.schedule.step_epochs = 0; }},
      {"gamma is nan", [=](auto& o) { o.schedule.gamma = nan; }},
      {"minimum_factor is -1", [](auto& o) { o.schedule.minimum_factor = -1; }},
      {"epochs is -1", [](auto& o) { o.epochs = -1; }},
      {"batch_size is 0", [](auto& o) { o.batch_size = 0; }},
      {"batch_size is -5", [](auto& o) { o.batch_size = -5; }},
      {"predict_batch_size is 0", [](auto& o) { o.predict_batch_size = 0; }},
      {"accumulate is 0", [](auto& o) { o.accumulate = 0; }},
      {"loss weight of 'a' is -1", [](auto& o) { o.losses = {{"a", LossKind::kMSE, -1}}; }},
      {"scale of 'a' is inf", [=](auto& o) { o.inputs = {{"a", infinity, 0}}; }},
      {"offset of 'a' is nan", [=](auto& o) { o.inputs = {{"a", {}, nan}}; }},
      {"batches_per_epoch is 0", [](auto& o) { o.batches_per_epoch = 0; }},
      {"threads is -1", [](auto& o) { o.threads = -1; }},
      {"clip_norm is 0", [](auto& o) { o.clip_norm = 0; }},
      {"clip_value is nan", [=](auto& o) { o.clip_value = nan; }},
      {"top_k is 0", [](auto& o) { o.top_k = 0; }},
      {"early_stopping_patience is -1", [](auto& o) { o.early_stopping_patience = -1; }},
      {"early_stopping_min_delta is -1", [](auto& o) { o.early_stopping_min_delta = -1; }},
      {"input_scale is inf", [=](auto& o) { o.input_scale = infinity; }},
      {"input_offset is nan", [=](auto& o) { o.input_offset = nan; }},
  };
  for (const Case& test : cases) {
    TrainerOptions options;
    test.change(options);
    const Status status = validate(options);
    INFO(test.expected);
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::kInvalidArgument);
    CHECK(status.error().message.find(std::string(test.expected) + "; it must be ") == 0);
  }
}

TEST_CASE("overrides replace what they set and nothing else") {
  Overrides overrides;
  overrides.epochs = 3;
  overrides.learning_rate = 0.5;
  overrides.clip_norm = 1.5;
  TrainerOptions guest;
  guest.batch_size = 77;
  guest.epochs = 9;
  const TrainerOptions result = overrides.apply(guest);
  CHECK(result.epochs == 3);
  CHECK(result.optimizer.learning_rate == 0.5);
  CHECK(result.clip_norm == 1.5);
  CHECK(result.batch_size == 77);
  CHECK_FALSE(result.batches_per_epoch);
}

TEST_CASE("an owner's loss and scale hold for the whole model") {
  Overrides overrides;
  overrides.loss = LossKind::kMSE;
  overrides.input_scale = 2;
  TrainerOptions guest;
  guest.losses = {{"a", LossKind::kL1, 1}};
  guest.model_loss = true;
  guest.inputs = {{"x", 3, 0}};
  const TrainerOptions result = overrides.apply(guest);
  CHECK(result.loss == LossKind::kMSE);
  CHECK(result.losses.empty());
  CHECK_FALSE(result.model_loss);
  CHECK(result.inputs.empty());
}

TEST_CASE("every setting can be set") {
  TrainerOptions options;
  for (const std::string_view key : kSettings) CHECK(set(options, key, 0.25));
  CHECK(options.optimizer.learning_rate == 0.25);
  CHECK(options.optimizer.weight_decay == 0.25);
  CHECK(options.optimizer.momentum == 0.25);
  CHECK(options.optimizer.beta1 == 0.25);
  CHECK(options.optimizer.beta2 == 0.25);
  CHECK(options.optimizer.epsilon == 0.25);
  CHECK(options.optimizer.alpha == 0.25);
  CHECK(options.clip_norm == 0.25);
  CHECK(options.clip_value == 0.25);
}

TEST_CASE("a clip set to 0 is off") {
  TrainerOptions options;
  options.clip_norm = 1;
  REQUIRE(set(options, "clip_norm", 0));
  CHECK_FALSE(options.clip_norm);
}

TEST_CASE("a setting that is refused leaves the options as they are") {
  TrainerOptions options;
  const Status unknown = set(options, "speed", 1);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == Errc::kNotFound);
  const Status out_of_range = set(options, "beta1", 1);
  REQUIRE_FALSE(out_of_range);
  CHECK(out_of_range.error().message.find("beta1 is 1; it must be ") == 0);
  CHECK(options.optimizer.beta1 == TrainerOptions().optimizer.beta1);
}
