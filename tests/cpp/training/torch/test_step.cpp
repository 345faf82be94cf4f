#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "fixtures.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

const float kNaN = std::numeric_limits<float>::quiet_NaN();

template <class T>
Error error_of(const Expected<T>& result) {
  REQUIRE_FALSE(result);
  return result.error();
}

Error create_error(const std::string& model, const TrainerOptions& options = small_options()) {
  return error_of(TorchTrainer::create(load_model(model), options));
}

TrainerOptions regression_options() {
  TrainerOptions options = small_options();
  options.loss = LossKind::kMSE;
  return options;
}

}  // namespace

TEST_CASE("a trainer refuses options out of range") {
  TrainerOptions options = small_options();
  options.batch_size = 0;
  CHECK(create_error("linear", options).code == Errc::kInvalidArgument);
}

TEST_CASE("a model without parameters cannot be trained") {
  CHECK(create_error("fixed").message == "model 'fixed' has no trainable parameter");
}

TEST_CASE("steps on one batch lower its loss") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const Tensor inputs = linear_inputs(12);
  const Tensor targets = class_targets(12);
  const double first = step(run, inputs, targets)->loss;
  double last = first;
  for (int i = 0; i < 20; ++i) last = step(run, inputs, targets)->loss;
  CHECK(last < first);
}

TEST_CASE("equal trainers take bit-identical steps, with dropout and other random operators") {
  for (const char* model : {"convolution", "noise"}) {
    INFO(model);
    const bool images = model == std::string("convolution");
    const Tensor inputs = images ? image_inputs(8) : linear_inputs(8);
    TorchTrainer first = testing::trainer(model, small_options());
    TorchTrainer second = testing::trainer(model, small_options());
    for (int i = 0; i < 3; ++i) {
      REQUIRE(step(first, inputs, class_targets(8)));
      REQUIRE(step(second, inputs, class_targets(8)));
    }
    CHECK(state_of(first) == state_of(second));
  }
}

TEST_CASE("a parameter that takes no part is left alone") {
  TorchTrainer run = testing::trainer("unused", small_options());
  CHECK(step(run, linear_inputs(4), class_targets(4)));
}

TEST_CASE("u8 and f32 inputs of the same values train alike") {
  std::vector<float> scaled;
  const Tensor bytes = image_inputs(8);
  for (const std::byte byte : bytes.view().data())
    scaled.push_back(static_cast<float>(std::to_integer<int>(byte)) / 255);
  TorchTrainer from_bytes = testing::trainer("convolution", small_options());
  TorchTrainer from_floats = testing::trainer("convolution", small_options());
  const auto first = step(from_bytes, bytes, class_targets(8));
  const auto second = step(from_floats, Tensor(DType::kF32, {8, 1, 6, 6}, scaled), class_targets(8));
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->loss == doctest::Approx(second->loss).epsilon(1e-4));
}

TEST_CASE("scale and offset apply to every input type") {
  TrainerOptions options = small_options();
  options.input_scale = 0.5;
  options.input_offset = -1;
  std::vector<std::int32_t> whole;
  std::vector<float> normalised;
  for (int i = 0; i < 16; ++i) {
    whole.push_back(i % 7);
    normalised.push_back(static_cast<float>(i % 7) * 0.5F - 1);
  }
  TorchTrainer scaling = testing::trainer("linear", options);
  TorchTrainer plain = testing::trainer("linear", small_options());
  const auto expected = predict(plain, Tensor(DType::kF32, {4, 4}, normalised));
  REQUIRE(expected);
  const auto check = [&](const Tensor& inputs) {
    const auto predicted = predict(scaling, inputs);
    REQUIRE(predicted);
    for (std::size_t i = 0; i < expected->values.size(); ++i) {
      CHECK(predicted->values[i] == doctest::Approx(expected->values[i]).epsilon(1e-5));
    }
  };
  check({DType::kI32, {4, 4}, whole});
  check({DType::kI64, {4, 4}, std::vector<std::int64_t>(whole.begin(), whole.end())});
  check({DType::kF64, {4, 4}, std::vector<double>(whole.begin(), whole.end())});
  check({DType::kU8, {4, 4}, std::vector<std::uint8_t>(whole.begin(), whole.end())});
}

TEST_CASE("a loss that is not finite ends the step and names it") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const Tensor bad(DType::kF32, {2, 4}, std::vector<float>(8, kNaN));
  const auto before = state_of(run);
  const Error error = error_of(step(run, bad, class_targets(2)));
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message.find("step 1: the loss is ") == 0);
  CHECK(state_of(run) == before);
}

TEST_CASE("inputs that the model does not take are answered with their shape") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const Tensor wide(DType::kF32, {2, 5}, std::vector<float>(10, 0));
  const Error error = error_of(step(run, wide, class_targets(2)));
  CHECK(error.code == Errc::kInvalidArgument);
  CHECK(error.message.find("the model does not take inputs of shape [2, 5]") != std::string::npos);
}

TEST_CASE("an output of the wrong shape is answered with both shapes") {
  TorchTrainer run = testing::trainer("images", small_options());
  const Error error = error_of(step(run, linear_inputs(2), class_targets(2)));
  CHECK(error.code == Errc::kInvalidArgument);
  CHECK(error.message.find("[2, 3, 1, 1]") != std::string::npos);
  CHECK(error.message.find("[2]") != std::string::npos);
}

TEST_CASE("a regression fits its targets") {
  TrainerOptions options = regression_options();
  options.optimizer.learning_rate = 0.05;
  TorchTrainer run = testing::trainer("regression", options);
  const Tensor inputs = linear_inputs(13);
  std::vector<float> values;
  for (int i = 0; i < 13; ++i) {
    float x[4];
    std::memcpy(x, inputs.view().data().data() + i * 16, sizeof(x));
    values.push_back(2 * x[0] - x[1] + 0.5F * x[3] + 1);
  }
  const Tensor targets(DType::kF32, {13, 1}, values);
  double loss = 0;
  for (int i = 0; i < 500; ++i) {
    const auto metrics = step(run, inputs, targets);
    REQUIRE(metrics);
    CHECK_FALSE(metrics->accuracy);
    loss = metrics->loss;
  }
  CHECK(loss < 1e-4);
}

TEST_CASE("cross-entropy on probabilities trains a softmax model") {
  TrainerOptions options = small_options();
  options.loss = LossKind::kCrossEntropy;
  TorchTrainer run = testing::trainer("probabilities", options);
  const double first = step(run, linear_inputs(12), class_targets(12))->loss;
  double last = first;
  for (int i = 0; i < 20; ++i) last = step(run, linear_inputs(12), class_targets(12))->loss;
  CHECK(last < first);
}

TEST_CASE("predictions do not depend on how rows fall into batches") {
  TorchTrainer run = testing::trainer("linear", small_options());  // batches of 4
  const auto all = predict(run, linear_inputs(9));
  const auto one = predict(run, linear_inputs(1));
  REQUIRE(all);
  REQUIRE(one);
  CHECK(all->shape == std::vector<std::int64_t>{9, 3});
  CHECK(all->values.size() == 27);
  for (std::size_t i = 0; i < 3; ++i) CHECK(all->values[i] == doctest::Approx(one->values[i]));
}

TEST_CASE("a schedule over epochs needs to know how long one is") {
  TrainerOptions options = small_options();
  options.schedule.kind = ScheduleKind::kCosine;
  TorchTrainer unknown = testing::trainer("linear", options);
  CHECK(error_of(step(unknown, linear_inputs(4), class_targets(4))).code == Errc::kInvalidArgument);
  options.batches_per_epoch = 10;
  TorchTrainer known = testing::trainer("linear", options);
  CHECK(step(known, linear_inputs(4), class_targets(4)));
}
