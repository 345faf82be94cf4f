// Models of several inputs and outputs, with losses of their outputs or their own.
#include <doctest/doctest.h>

#include <cstring>

#include "fixtures.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

const Tensor kWide = linear_inputs(8);
const Tensor kNarrow(DType::kF32, {8, 2}, std::vector<float>(16, 0.5F));
const Tensor kLabels = class_targets(8);
const Tensor kValues(DType::kF32, {8, 1}, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});

using Views = std::vector<TensorView>;

template <class T>
Error error_of(const Expected<T>& result) {
  REQUIRE_FALSE(result);
  return result.error();
}

TrainerOptions head_options() {
  TrainerOptions options = small_options();
  options.losses = {{"value", LossKind::kMSE, 0.5}, {"label", LossKind::kCrossEntropyLogits, 1}};
  return options;
}

}  // namespace

TEST_CASE("inputs are matched by name, or by position when they have none") {
  TorchTrainer by_name = testing::trainer("two_inputs", small_options());
  TorchTrainer by_position = testing::trainer("two_inputs", small_options());
  const Views labels{kLabels.view()};
  for (int i = 0; i < 3; ++i) {
    REQUIRE(by_name.step(Views{kNarrow.view("narrow"), kWide.view("wide")}, labels));
    REQUIRE(by_position.step(Views{kWide.view(), kNarrow.view()}, labels));
  }
  CHECK(state_of(by_name) == state_of(by_position));
}

TEST_CASE("names serve errors only when the caller matches by position") {
  TrainerOptions options = small_options();
  options.by_position = true;
  TorchTrainer run = testing::trainer("linear", options);
  CHECK(run.step(Views{kWide.view("train images")}, Views{kLabels.view("train labels")}));
}

TEST_CASE("an input that is no argument is named") {
  TorchTrainer run = testing::trainer("two_inputs", small_options());
  const Views labels{kLabels.view()};
  const Error name = error_of(run.step(Views{kWide.view("wide"), kNarrow.view("slim")}, labels));
  CHECK(name.code == Errc::kInvalidArgument);
  CHECK(name.message ==
        "step 1: input 'slim' is no argument of the model's forward, which takes 'wide', 'narrow'");
  CHECK_FALSE(run.step(Views{kWide.view(), kNarrow.view(), kWide.view()}, labels));
  CHECK_FALSE(run.step(Views{kWide.view()}, labels));
  CHECK_FALSE(run.step(Views{}, labels));
}

TEST_CASE("tensors of one batch have as many samples") {
  TorchTrainer run = testing::trainer("two_inputs", small_options());
  const Tensor few = linear_inputs(7);
  const Error error = error_of(run.step(Views{few.view(), kNarrow.view()}, Views{kLabels.view()}));
  CHECK(error.message == "step 1: input 1 has 8 samples; those before it have 7");
}

TEST_CASE("several inputs are trained over a dataset") {
  TorchTrainer run = testing::trainer("two_inputs", small_options());
  const auto data = Dataset::create(Views{kWide.view("wide"), kNarrow.view("narrow")}, Views{kLabels.view()},
                                    std::uint64_t{1} << 20);
  REQUIRE(data);
  const auto report = run.fit(*data, *data, {});
  REQUIRE(report);
  CHECK(report->epochs.back().validation->loss < report->initial->loss);
}

TEST_CASE("a scale may be given for one input") {
  TrainerOptions options = small_options();
  options.inputs = {{"narrow", 0.0, 1.0}};
  TorchTrainer run = testing::trainer("two_inputs", options);
  const Tensor ones(DType::kF32, {8, 2}, std::vector<float>(16, 1));
  TorchTrainer plain = testing::trainer("two_inputs", small_options());
  const auto scaled = run.predict(Views{kWide.view(), kNarrow.view()});
  const auto expected = plain.predict(Views{kWide.view(), ones.view()});
  REQUIRE(scaled);
  CHECK(scaled->at(0).bytes == expected->at(0).bytes);
  options.inputs = {{"slim", 0.0, 1.0}};
  CHECK(error_of(TorchTrainer::create(load_model("two_inputs"), options)).message.find("'slim'") !=
        std::string::npos);
}

TEST_CASE("each output of a dict has its own loss and weight") {
  TorchTrainer run = testing::trainer("heads", head_options());
  const Views targets{kValues.view("value"), kLabels.view("label")};
  const auto both = run.step(Views{kWide.view()}, targets);
  REQUIRE(both);
  CHECK(both->accuracy);

  TrainerOptions options = small_options();
  options.losses = {{"label", LossKind::kCrossEntropyLogits, 1}};
  TorchTrainer labels = testing::trainer("heads", options);
  options.losses = {{"1", LossKind::kMSE, 1}};
  TorchTrainer values = testing::trainer("heads", options);
  const auto label_loss = labels.step(Views{kWide.view()}, Views{kLabels.view()});
  const auto value_loss = values.step(Views{kWide.view()}, Views{kValues.view()});
  REQUIRE(label_loss);
  REQUIRE(value_loss);
  CHECK_FALSE(value_loss->accuracy);
  CHECK(both->loss == doctest::Approx(label_loss->loss + 0.5 * value_loss->loss));
}

TEST_CASE("targets without names belong to the outputs with a loss, in the outputs' order") {
  TorchTrainer by_name = testing::trainer("heads", head_options());
  TorchTrainer by_position = testing::trainer("heads", head_options());
  REQUIRE(by_name.step(Views{kWide.view()}, Views{kValues.view("value"), kLabels.view("label")}));
  REQUIRE(by_position.step(Views{kWide.view()}, Views{kLabels.view(), kValues.view()}));
  CHECK(parameters_of(by_name) == parameters_of(by_position));
}

TEST_CASE("one loss is that of every output that has a target") {
  TrainerOptions options = small_options();
  options.loss = LossKind::kMSE;
  TorchTrainer run = testing::trainer("heads", options);
  CHECK(run.step(Views{kWide.view()}, Views{kValues.view("value")}));
  CHECK(testing::trainer("pair", small_options()).step(Views{kWide.view()}, Views{kLabels.view()}));
}

TEST_CASE("losses and targets without counterpart are named") {
  const Views x{kWide.view()};
  TrainerOptions options = head_options();
  TorchTrainer run = testing::trainer("heads", options);
  CHECK(error_of(run.step(x, Views{kLabels.view("label")})).message ==
        "step 1: there is no target for output 'value', which has a loss");
  CHECK(
      error_of(run.step(x, Views{kLabels.view("label"), kValues.view("velocity")})).message ==
      "step 1: target 'velocity' belongs to no output of its own; the model's outputs are 'label', 'value'");
  CHECK(error_of(run.step(x, {})).message == "step 1: there are no targets; a loss needs one");
  options.losses = {{"velocity", LossKind::kMSE, 1}};
  TorchTrainer unknown = testing::trainer("heads", options);
  CHECK(error_of(unknown.step(x, Views{kValues.view()})).message ==
        "step 1: the model has no output 'velocity' to have a loss; it has 'label', 'value'");
  options.losses = {{"value", LossKind::kMSE, 1}, {"1", LossKind::kMSE, 1}};
  TorchTrainer twice = testing::trainer("heads", options);
  CHECK_FALSE(twice.step(x, Views{kValues.view()}));
}

TEST_CASE("a model that computes its own loss trains as with ours") {
  TrainerOptions options = small_options();
  TorchTrainer ours = testing::trainer("linear", options);
  options.model_loss = true;
  TorchTrainer own = testing::trainer("own_loss", options);
  for (int i = 0; i < 3; ++i) {
    const auto expected = step(ours, kWide, kLabels);
    const auto metrics = own.step(Views{kWide.view()}, Views{kLabels.view("labels")});
    REQUIRE(metrics);
    CHECK(metrics->loss == doctest::Approx(expected->loss));
    CHECK_FALSE(metrics->accuracy);
  }
  CHECK(own.evaluate(dataset(kWide, kLabels))->loss ==
        doctest::Approx(ours.evaluate(dataset(kWide, kLabels))->loss));
  const auto outputs = own.predict(Views{kWide.view()});
  REQUIRE(outputs);
  CHECK(outputs->at(0).name == "logits");
}

TEST_CASE("a model may return nothing but its loss") {
  TrainerOptions options = small_options();
  options.model_loss = true;
  TorchTrainer run = testing::trainer("scalar_loss", options);
  const double first = step(run, kWide, kValues)->loss;
  for (int i = 0; i < 5; ++i) REQUIRE(step(run, kWide, kValues));
  CHECK(step(run, kWide, kValues)->loss < first);
}

TEST_CASE("a model that should compute its own loss, but does not, is refused") {
  TrainerOptions options = small_options();
  options.model_loss = true;
  TorchTrainer run = testing::trainer("linear", options);
  const Error error = error_of(run.step(Views{kWide.view()}, {}));
  CHECK_MESSAGE(error.message.find("the model's own loss has shape [8, 3]") != std::string::npos,
                error.message);
}

TEST_CASE("whole numbers reach an embedding when they are kept") {
  TrainerOptions options = small_options();
  options.keep_integers = true;
  TorchTrainer run = testing::trainer("words", options);
  const std::vector<std::int32_t> words{0, 1, 2, 3, 4, 5, 6, 7};
  const Tensor narrow(DType::kI32, {4, 2}, words);
  const Tensor wide(DType::kI64, {4, 2}, std::vector<std::int64_t>(words.begin(), words.end()));
  const auto first = predict(run, narrow);
  REQUIRE(first);
  CHECK(first->values == predict(run, wide)->values);
  CHECK(step(run, wide, class_targets(4)));
}

TEST_CASE("a prediction gives each output its name and type") {
  TorchTrainer heads = testing::trainer("heads", head_options());
  const auto named = heads.predict(Views{kWide.view()});
  REQUIRE(named);
  REQUIRE(named->size() == 2);
  CHECK(named->at(0).name == "label");
  CHECK(named->at(1).name == "value");
  CHECK(named->at(1).shape == std::vector<std::int64_t>{8, 1});

  TorchTrainer types = testing::trainer("types", small_options());
  const auto typed = types.predict(Views{kWide.view()});
  REQUIRE(typed);
  REQUIRE(typed->size() == 3);
  CHECK(typed->at(0).dtype == DType::kF64);
  CHECK(typed->at(0).bytes.size() == 8 * 3 * sizeof(double));
  CHECK(typed->at(1).dtype == DType::kI64);
  CHECK(typed->at(1).shape == std::vector<std::int64_t>{8});
  CHECK(typed->at(2).dtype == DType::kU8);
}
