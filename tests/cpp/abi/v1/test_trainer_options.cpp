// The JSON that a guest gives a trainer: what each key sets, and what is said about those that are wrong.
#include <doctest/doctest.h>

#include <string>

#include "../../support.hpp"
#include "wasmgrad/abi/v1/trainer_options.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;
using abi::v1::read_trainer_options;
using training::LossKind;
using training::OptimizerKind;
using training::ScheduleKind;

TEST_CASE("no key at all gives the defaults, and whole numbers stay whole") {
  const auto options = read_trainer_options("{}");
  REQUIRE(options);
  const training::TrainerOptions defaults;
  CHECK(options->optimizer.kind == defaults.optimizer.kind);
  CHECK(options->loss == defaults.loss);
  CHECK(options->batch_size == defaults.batch_size);
  CHECK_FALSE(options->model_loss);
  CHECK(options->keep_integers);
}

TEST_CASE("every key sets its option") {
  const auto options = read_trainer_options(R"({
    "optimizer": {"name": "sgd", "learning_rate": 0.5, "weight_decay": 0.25, "beta1": 0.8, "beta2": 0.9,
                  "epsilon": 1e-6, "momentum": 0.7, "nesterov": true, "alpha": 0.6},
    "loss": {"digit": "cross_entropy", "1": {"name": "mse", "weight": 0.5}},
    "schedule": {"name": "cosine", "warmup_epochs": 2, "step_epochs": 3, "gamma": 0.4, "minimum_factor": 0.1},
    "epochs": 7, "batch_size": 32, "predict_batch_size": 9, "batches_per_epoch": 50, "shuffle": false,
    "restore_on_error": true, "seed": 18446744073709551615,
    "threads": 2, "accumulate": 4, "clip_norm": 1.5, "clip_value": 2.5, "top_k": 3,
    "early_stopping": {"patience": 4, "min_delta": 0.01, "restore_best": false},
    "inputs": {"image": {"scale": 0.0039, "offset": -1}, "1": {"offset": 2}},
    "freeze": ["features.*", "norm?"]})");
  REQUIRE_MESSAGE(options, options.error().message);
  CHECK(options->optimizer.kind == OptimizerKind::kSGD);
  CHECK(options->optimizer.learning_rate == 0.5);
  CHECK(options->optimizer.weight_decay == 0.25);
  CHECK(options->optimizer.beta1 == 0.8);
  CHECK(options->optimizer.beta2 == 0.9);
  CHECK(options->optimizer.epsilon == 1e-6);
  CHECK(options->optimizer.momentum == 0.7);
  CHECK(options->optimizer.nesterov);
  CHECK(options->optimizer.alpha == 0.6);
  REQUIRE(options->losses.size() == 2);
  CHECK(options->losses[0].output == "1");
  CHECK(options->losses[0].kind == LossKind::kMSE);
  CHECK(options->losses[0].weight == 0.5);
  CHECK(options->losses[1].output == "digit");
  CHECK(options->losses[1].kind == LossKind::kCrossEntropyLogits);
  CHECK(options->losses[1].weight == 1);
  CHECK(options->schedule.kind == ScheduleKind::kCosine);
  CHECK(options->schedule.warmup_epochs == 2);
  CHECK(options->schedule.step_epochs == 3);
  CHECK(options->schedule.gamma == 0.4);
  CHECK(options->schedule.minimum_factor == 0.1);
  CHECK(options->epochs == 7);
  CHECK(options->batch_size == 32);
  CHECK(options->predict_batch_size == 9);
  CHECK(options->batches_per_epoch == 50);
  CHECK_FALSE(options->shuffle);
  CHECK(options->restore_on_error);
  CHECK(options->seed == UINT64_MAX);
  CHECK(options->threads == 2);
  CHECK(options->accumulate == 4);
  CHECK(options->clip_norm == 1.5);
  CHECK(options->clip_value == 2.5);
  CHECK(options->top_k == 3);
  CHECK(options->early_stopping_patience == 4);
  CHECK(options->early_stopping_min_delta == 0.01);
  CHECK_FALSE(options->early_stopping_restore_best);
  REQUIRE(options->inputs.size() == 2);
  CHECK(options->inputs[0].input == "1");
  CHECK_FALSE(options->inputs[0].scale);
  CHECK(options->inputs[0].offset == 2);
  CHECK(options->inputs[1].scale == 0.0039);
  CHECK(options->inputs[1].offset == -1);
  CHECK(options->freeze == std::vector<std::string>{"features.*", "norm?"});
}

TEST_CASE("a name alone stands for an object with nothing else") {
  const auto options =
      read_trainer_options(R"({"optimizer": "rmsprop", "loss": "huber", "schedule": "step"})");
  REQUIRE(options);
  CHECK(options->optimizer.kind == OptimizerKind::kRMSProp);
  CHECK(options->loss == LossKind::kHuber);
  CHECK(options->schedule.kind == ScheduleKind::kStep);
}

TEST_CASE("the model's own loss has a name") {
  const auto options = read_trainer_options(R"({"loss": "model"})");
  REQUIRE(options);
  CHECK(options->model_loss);
}

TEST_CASE("null counts as left out") {
  const auto options = read_trainer_options(R"({"clip_norm": null, "optimizer": null})");
  REQUIRE(options);
  CHECK_FALSE(options->clip_norm);
}

TEST_CASE("what is wrong is named with its path, its value and what was expected") {
  struct Case {
    std::string text;
    const char* message;
    Errc code = Errc::kInvalidArgument;
  };
  const Case cases[] = {
      {"", "the text of the options is not JSON", Errc::kInvalidEncoding},
      {"{", "cannot be read past byte", Errc::kInvalidEncoding},
      {"{} {}", "the text of the options is not JSON", Errc::kInvalidEncoding},
      {R"({"epochs": NaN})", "the text of the options is not JSON", Errc::kInvalidEncoding},
      {R"({"epochs": Infinity})", "the text of the options is not JSON", Errc::kInvalidEncoding},
      {"{\"optimizer\": \"\xff\"}", "the text of the options is not JSON", Errc::kInvalidEncoding},
      {"[]", "the options is []; expected an object"},
      {"3", "the options is 3; expected an object"},
      {R"({"batchsize": 3})", "unknown key 'batchsize'; known are optimizer, loss, schedule, "},
      {R"({"optimizer": {"lr": 3}})", "unknown key 'optimizer.lr'; known are name, learning_rate"},
      {R"({"early_stopping": {"wait": 3}})",
       "unknown key 'early_stopping.wait'; known are patience, min_delta, restore_best"},
      {R"({"inputs": {"x": {"mean": 3}}})", "unknown key 'inputs.x.mean'; known are scale, offset"},
      {R"({"loss": {"y": {"scale": 3}}})", "unknown key 'loss.y.scale'; known are name, weight"},
      {R"({"seed": 1, "seed": 2})", "has the key 'seed' twice"},
      {R"({"optimizer": {"beta1": 0, "beta1": 0}})", "has the key 'beta1' twice"},
      {R"({"optimizer": "newton"})",
       "optimizer: unknown optimizer 'newton'; known are adam, rmsprop, sgd, adamw"},
      {R"({"optimizer": {"name": "newton"}})", "optimizer.name: unknown optimizer 'newton'"},
      {R"({"optimizer": 3})", "optimizer is 3; expected a name, or an object with the key \"name\""},
      {R"({"loss": "mae"})", "loss: unknown loss 'mae'; did you mean 'l1'? known are"},
      {R"({"loss": {"y": "none"}})", "loss.y: unknown loss 'none'; known are"},
      {R"({"loss": {"y": "model"}})", "loss.y: unknown loss 'model'"},
      {R"({"loss": {}})", "loss is {}; expected"},
      {R"({"loss": 1})", "loss is 1; expected a name, \"model\", or an object of outputs and names"},
      {R"({"schedule": "spiral"})", "schedule: unknown learning-rate schedule 'spiral'"},
      {R"({"epochs": 1.5})", "epochs is 1.5; expected an integer"},
      {R"({"epochs": "1"})", "epochs is \"1\"; expected an integer"},
      {R"({"epochs": 9223372036854775808})", "epochs is 9223372036854775808; expected an integer"},
      {R"({"seed": -1})", "seed is -1; expected an integer in 0..18446744073709551615"},
      {R"({"threads": 9223372036854775808})", "threads is 9223372036854775808; expected an integer"},
      {R"({"clip_norm": "big"})", "clip_norm is \"big\"; expected a number"},
      {R"({"clip_norm": 1e999})", "a number that no f64 holds"},
      {R"({"shuffle": 1})", "shuffle is 1; expected true or false"},
      {R"({"freeze": "a"})", "freeze is \"a\"; expected an array of strings"},
      {R"({"freeze": [1]})", "freeze is 1; expected a string"},
      {R"({"inputs": [1]})", "inputs is [1]; expected an object"},
      {R"({"inputs": {"x": 1}})", "inputs.x is 1; expected an object"},
      {R"({"freeze": ["a\u0000b"]})", "a string without zero bytes"},
      {"{\"freeze\": " + std::string(100000, '[') + std::string(100000, ']') + "}",
       "nested deeper than 8 levels"},
      {std::string(100000, '['), "nested deeper than 8 levels"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text.substr(0, 100));
    const Error error = error_of(read_trainer_options(c.text));
    CHECK(error.code == c.code);
    CHECK_MESSAGE(error.message.find(c.message) != std::string::npos, error.message);
  }
}
