// What callers need who write their own loop: gradients, accumulation, exchange, settings, frozen parameters.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "fixtures.hpp"
#include "wasmgrad/training/data/data_order.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

std::span<const std::byte> bytes_of(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

std::vector<float> gradients_of(const Trainer& trainer) {
  std::vector<float> values(trainer.parameter_bytes() / sizeof(float));
  REQUIRE(trainer.gradients(std::as_writable_bytes(std::span(values))));
  return values;
}

void check_close(const std::vector<float>& a, const std::vector<float>& b, double epsilon) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(epsilon));
}

/// Rows begin..begin+rows of the images, and their labels, in the order of an epoch.
struct ImageBatch {
  std::vector<std::uint8_t> images;
  std::vector<std::int64_t> labels;

  ImageBatch(const std::vector<std::int64_t>& order, std::size_t begin, std::size_t rows) {
    const Tensor all = image_inputs(static_cast<std::int64_t>(order.size()));
    for (std::size_t i = begin; i < begin + rows; ++i) {
      const auto row = all.view().data().subspan(static_cast<std::size_t>(order[i]) * 36, 36);
      for (const std::byte byte : row) images.push_back(std::to_integer<std::uint8_t>(byte));
      labels.push_back(order[i] % 3);
    }
  }
  [[nodiscard]] Tensor inputs() const {
    return {DType::kU8, {static_cast<std::int64_t>(labels.size()), 1, 6, 6}, images};
  }
  [[nodiscard]] Tensor targets() const {
    return {DType::kI64, {static_cast<std::int64_t>(labels.size())}, labels};
  }
};

TrainerOptions sgd_options() {
  TrainerOptions options = small_options();
  options.optimizer.kind = OptimizerKind::kSGD;
  return options;
}

struct StepRecorder final : Observer {
  void on_steps(const StepsReport& report) override { samples += report.train.samples, last = report; }
  void on_evaluation(const Metrics& metrics, std::int64_t step) override {
    evaluated = metrics.samples;
    at_step = step;
  }
  std::int64_t samples = 0, evaluated = 0, at_step = -1;
  StepsReport last;
};

}  // namespace

TEST_CASE("a loop of steps over an epoch's batches is fit, bit for bit") {
  constexpr std::size_t kRows = 14;
  const TrainerOptions options = small_options();
  TorchTrainer fitted = testing::trainer("convolution", options);
  REQUIRE(fitted.fit(image_dataset(kRows), {}, {}));
  TorchTrainer stepped = testing::trainer("convolution", options);
  std::vector<std::int64_t> order(kRows);
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    shuffled_order(order, options.seed, epoch);
    for (std::size_t begin = 0; begin < kRows; begin += 4) {
      const ImageBatch batch(order, begin, std::min<std::size_t>(4, kRows - begin));
      REQUIRE(step(stepped, batch.inputs(), batch.targets()));
    }
  }
  CHECK(stepped.steps() == fitted.steps());
  CHECK(parameters_of(stepped) == parameters_of(fitted));
  CHECK(predict(stepped, image_inputs(5))->values == predict(fitted, image_inputs(5))->values);
}

TEST_CASE("epochs driven one by one are fit, bit for bit") {
  TorchTrainer fitted = testing::trainer("convolution", small_options());
  TorchTrainer driven = testing::trainer("convolution", small_options());
  REQUIRE(fitted.fit(image_dataset(14), {}, {}));
  for (int i = 0; i < 3; ++i) {
    const auto report = driven.train_epoch(image_dataset(14));
    REQUIRE(report);
    CHECK(report->epoch == i + 1);
    CHECK(report->train.samples == 14);
  }
  CHECK(driven.epoch() == 3);
  CHECK(parameters_of(driven) == parameters_of(fitted));
}

TEST_CASE("fit trains so many epochs more") {
  TorchTrainer run = testing::trainer("linear", small_options());
  CHECK(run.fit(linear_dataset(10), {}, {}, {}, 2)->epochs.size() == 2);
  CHECK(run.fit(linear_dataset(10), {}, {}, {}, 5)->epochs.size() == 5);
  CHECK(run.epoch() == 7);
}

TEST_CASE("accumulated batches make the step of one big batch") {
  for (const bool by_fit : {false, true}) {
    INFO(by_fit);
    TrainerOptions options = sgd_options();
    options.shuffle = false;
    options.epochs = 1;
    options.batch_size = 12;
    TorchTrainer big = testing::trainer("linear", options);
    REQUIRE(step(big, linear_inputs(12), class_targets(12)));

    options.batch_size = 4;
    options.accumulate = 3;
    TorchTrainer small = testing::trainer("linear", options);
    if (by_fit) {
      REQUIRE(small.fit(linear_dataset(12), {}, {}));
    } else {
      const Tensor all = linear_inputs(12);
      const Tensor labels = class_targets(12);
      for (std::size_t i = 0; i < 3; ++i) {
        const auto x = TensorView::create("", DType::kF32, {4, 4}, all.view().data().subspan(i * 64, 64));
        const auto y = TensorView::create("", DType::kI64, {4}, labels.view().data().subspan(i * 32, 32));
        REQUIRE(small.backward({&*x, 1}, {&*y, 1}));
      }
      REQUIRE(small.apply());
    }
    CHECK(small.steps() == 1);
    check_close(parameters_of(small), parameters_of(big), 1e-6);
  }
}

TEST_CASE("what is left of an epoch makes a smaller last step") {
  TrainerOptions options = small_options();
  options.accumulate = 2;
  TorchTrainer run = testing::trainer("linear", options);
  REQUIRE(run.train_epoch(linear_dataset(20)));  // batches of 4: 2, 2 and 1
  CHECK(run.steps() == 3);
}

TEST_CASE("step is backward and apply") {
  TorchTrainer stepped = testing::trainer("convolution", small_options());
  TorchTrainer driven = testing::trainer("convolution", small_options());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(step(stepped, image_inputs(4), class_targets(4)));
    REQUIRE(backward(driven, image_inputs(4), class_targets(4)));
    REQUIRE(driven.apply());
  }
  CHECK(state_of(stepped) == state_of(driven));
}

TEST_CASE("gradients are the mean of what backward added, and none after apply") {
  TorchTrainer run = testing::trainer("linear", small_options());
  CHECK(gradients_of(run) == std::vector<float>(15, 0));
  REQUIRE(backward(run, linear_inputs(4), class_targets(4)));
  const auto one = gradients_of(run);
  CHECK(one != std::vector<float>(15, 0));
  REQUIRE(backward(run, linear_inputs(4), class_targets(4)));
  check_close(gradients_of(run), one, 1e-6);
  REQUIRE(run.apply());
  CHECK(gradients_of(run) == std::vector<float>(15, 0));
  CHECK_FALSE(run.apply());
}

TEST_CASE("gradients that were set are applied") {
  TrainerOptions options = sgd_options();
  TorchTrainer run = testing::trainer("linear", options);
  const auto before = parameters_of(run);
  REQUIRE(backward(run, linear_inputs(4), class_targets(4)));
  REQUIRE(run.set_gradients(bytes_of(std::vector<float>(15, 2))));
  CHECK(gradients_of(run) == std::vector<float>(15, 2));
  REQUIRE(run.apply());
  const auto after = parameters_of(run);
  for (std::size_t i = 0; i < after.size(); ++i) CHECK(after[i] == doctest::Approx(before[i] - 0.02F));
}

TEST_CASE("two trainers that average their parameters agree and learn") {
  TorchTrainer first = testing::trainer("linear", small_options());
  TorchTrainer second = testing::trainer("linear", small_options());
  const Dataset data = linear_dataset(26);
  const auto parts = data.split(std::array{0.5, 0.5}, 3);
  REQUIRE(parts);
  const double before = first.evaluate(data)->loss;
  for (int round = 0; round < 5; ++round) {
    REQUIRE(first.train_epoch(parts->at(0)));
    REQUIRE(second.train_epoch(parts->at(1)));
    std::vector<float> mean = parameters_of(first);
    const std::vector<float> other = parameters_of(second);
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = (mean[i] + other[i]) / 2;
    REQUIRE(first.set_parameters(bytes_of(mean)));
    REQUIRE(second.set_parameters(bytes_of(mean)));
    CHECK(parameters_of(first) == mean);
  }
  CHECK(first.evaluate(data)->loss == second.evaluate(data)->loss);
  CHECK(first.evaluate(data)->loss < before);
}

TEST_CASE("an exchange of another size, or of what is not finite, changes nothing") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const auto before = parameters_of(run);
  const Status size = run.set_parameters(bytes_of(std::vector<float>(14, 0)));
  REQUIRE_FALSE(size);
  CHECK(size.error().message == "the parameters take 60 bytes; the buffer has 56");
  std::vector<float> values(15, 0);
  values[7] = std::numeric_limits<float>::infinity();
  const Status finite = run.set_parameters(bytes_of(values));
  REQUIRE_FALSE(finite);
  CHECK(finite.error().message == "the parameters: the value at index 7 is inf; all must be finite");
  CHECK_FALSE(run.set_gradients(bytes_of(values)));
  CHECK_FALSE(run.apply());
  CHECK(parameters_of(run) == before);
}

TEST_CASE("frozen parameters stay, are not exchanged, and stay trainable for others") {
  TrainerOptions options = small_options();
  options.freeze = {"0.*"};
  const TorchModel model = load_model("deep");
  auto run = TorchTrainer::create(model, options);
  REQUIRE(run);
  CHECK(run->parameter_bytes() == (8 * 3 + 3) * sizeof(float));
  const auto all = [&](const TorchModel& any) {
    return parameters_of(*TorchTrainer::create(any, small_options()));
  };
  const auto before = all(load_model("deep"));
  REQUIRE(step(*run, linear_inputs(8), class_targets(8)));
  const auto archive = run->model().save();
  REQUIRE(archive);
  const auto saved = TorchModel::load(*archive, "saved", 1 << 20);
  REQUIRE(saved);
  CHECK(saved->parameter_count() == 4 * 8 + 8 + 8 * 3 + 3);
  const auto after = all(*saved);
  const std::size_t frozen = 4 * 8 + 8;
  CHECK(std::equal(before.begin(), before.begin() + frozen, after.begin()));
  for (std::size_t i = frozen; i < after.size(); ++i) CHECK(before[i] != after[i]);
}

TEST_CASE("a pattern that freezes nothing, or everything, is refused") {
  TrainerOptions options = small_options();
  const auto error = [&](std::vector<std::string> patterns) {
    options.freeze = std::move(patterns);
    const auto run = TorchTrainer::create(load_model("deep"), options);
    REQUIRE_FALSE(run);
    CHECK(run.error().code == Errc::kInvalidArgument);
    return run.error().message;
  };
  CHECK(error({"0.*", "head.*"}) ==
        "model 'deep': no trainable parameter and no running statistic matches 'head.*', which is to be "
        "frozen");
  CHECK(error({"?.weight", "*.bias"}) ==
        "model 'deep': all parameters are frozen; at least one must be trained");
}

TEST_CASE("a setting holds from the next step on and is kept by a checkpoint") {
  const auto five_steps = [](Trainer& run, int from) {
    for (int i = from; i < 5; ++i) {
      if (i == 2) {
        REQUIRE(run.set("learning_rate", 0.2));
        REQUIRE(run.set("momentum", 0.9));
        REQUIRE(run.set("clip_norm", 0.1));
      }
      REQUIRE(step(run, linear_inputs(8), class_targets(8)));
    }
  };
  TorchTrainer whole = testing::trainer("linear", sgd_options());
  five_steps(whole, 0);
  CHECK(whole.learning_rate() == 0.2);
  CHECK(whole.options().optimizer.momentum == 0.9);

  TorchTrainer first = testing::trainer("linear", sgd_options());
  REQUIRE(step(first, linear_inputs(8), class_targets(8)));
  REQUIRE(step(first, linear_inputs(8), class_targets(8)));
  REQUIRE(first.set("learning_rate", 0.2));
  REQUIRE(first.set("momentum", 0.9));
  REQUIRE(first.set("clip_norm", 0.1));
  REQUIRE(step(first, linear_inputs(8), class_targets(8)));
  TorchTrainer second = testing::trainer("linear", sgd_options());
  REQUIRE(second.restore(state_of(first)));
  CHECK(second.options().optimizer.learning_rate == 0.2);
  five_steps(second, 3);
  CHECK(state_of(second) == state_of(whole));
}

TEST_CASE("a checkpoint without settings takes them back") {
  TorchTrainer plain = testing::trainer("linear", sgd_options());
  TorchTrainer changed = testing::trainer("linear", sgd_options());
  REQUIRE(changed.set("momentum", 0.9));
  REQUIRE(changed.restore(state_of(plain)));
  CHECK(changed.options().optimizer.momentum == 0);
  CHECK(state_of(changed) == state_of(plain));
}

TEST_CASE("pending gradients are in no checkpoint and before no epoch") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const auto clean = state_of(run);
  REQUIRE(backward(run, linear_inputs(4), class_targets(4)));
  const auto checkpoint = run.checkpoint();
  REQUIRE_FALSE(checkpoint);
  CHECK(checkpoint.error().message == "checkpoint: gradients of 1 batches are pending; apply them first");
  CHECK_FALSE(run.train_epoch(linear_dataset(10)));
  CHECK_FALSE(run.fit(linear_dataset(10), {}, {}));
  REQUIRE(run.restore(clean));
  CHECK(state_of(run) == clean);
}

TEST_CASE("a batch that fails leaves pending gradients and the state as they were") {
  TorchTrainer run = testing::trainer("linear", small_options());
  REQUIRE(backward(run, linear_inputs(4), class_targets(4)));
  const auto gradients = gradients_of(run);
  const Tensor bad(DType::kF32, {2, 4}, std::vector<float>(8, std::nanf("")));
  CHECK_FALSE(backward(run, bad, class_targets(2)));
  CHECK_FALSE(step(run, bad, class_targets(2)));
  CHECK_FALSE(step(run, linear_inputs(4), Tensor(DType::kI64, {4}, std::vector<std::int64_t>{0, 1, 2, 3})));
  CHECK(gradients_of(run) == gradients);
  CHECK(run.steps() == 0);

  TorchTrainer other = testing::trainer("linear", small_options());
  REQUIRE(backward(other, linear_inputs(4), class_targets(4)));
  REQUIRE(run.apply());
  REQUIRE(other.apply());
  CHECK(state_of(run) == state_of(other));
}

TEST_CASE("an accumulated run stopped and resumed is bit-identical to one that was not") {
  TrainerOptions options = small_options();
  options.accumulate = 3;
  TorchTrainer whole = testing::trainer("convolution", options);
  REQUIRE(whole.fit(image_dataset(30), {}, {}));
  StopToken stop;
  StopAfterEpoch after(stop, 1);
  TorchTrainer first = testing::trainer("convolution", options, &after, &stop);
  REQUIRE(first.fit(image_dataset(30), {}, {})->interrupted);
  TorchTrainer second = testing::trainer("convolution", options);
  REQUIRE(second.restore(state_of(first)));
  REQUIRE(second.fit(image_dataset(30), {}, {}));
  CHECK(state_of(second) == state_of(whole));
}

TEST_CASE("the owner sees single steps before an evaluation and at the end") {
  StepRecorder recorder;
  {
    TorchTrainer run = testing::trainer("linear", small_options(), &recorder);
    for (int i = 0; i < 3; ++i) REQUIRE(step(run, linear_inputs(4), class_targets(4)));
    REQUIRE(run.evaluate(linear_dataset(6)));
    CHECK(recorder.samples == 12);
    CHECK(recorder.last.step == 3);
    CHECK(recorder.last.learning_rate == 0.01);
    CHECK(recorder.evaluated == 6);
    CHECK(recorder.at_step == 3);
    REQUIRE(step(run, linear_inputs(4), class_targets(4)));
  }
  CHECK(recorder.samples == 16);
}

TEST_CASE("a trainer says what its state takes") {
  const TorchTrainer adam = testing::trainer("linear", small_options());
  CHECK(adam.state_bytes() == 15 * 4 * 3 + 2 * 4);
  const TorchTrainer sgd = testing::trainer("linear", sgd_options());
  CHECK(sgd.state_bytes() == 15 * 4);
}
