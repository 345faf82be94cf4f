#include <doctest/doctest.h>

#include <limits>
#include <optional>

#include "fixtures.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

template <class T>
Error error_of(const Expected<T>& result) {
  REQUIRE_FALSE(result);
  return result.error();
}

struct Recorder final : Observer {
  void on_fit_begin(const FitInfo& info) override { begin = info; }
  void on_initial(const Metrics& metrics) override { initial = metrics; }
  void on_epoch(const EpochReport& report) override { epochs.push_back(report); }
  void on_fit_end(const FitReport& report) override { end = report; }

  std::optional<FitInfo> begin;
  std::optional<Metrics> initial;
  std::vector<EpochReport> epochs;
  std::optional<FitReport> end;
};

Expected<FitReport> fit_images(Trainer& run) { return run.fit(image_dataset(14), {}, {}); }

}  // namespace

TEST_CASE("an epoch includes the last partial batch") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const auto report = run.fit(linear_dataset(10), {}, {});  // batches of 4, 4 and 2
  REQUIRE(report);
  REQUIRE(report->epochs.size() == 3);
  CHECK(report->epochs[0].train.samples == 10);
  CHECK(run.epoch() == 3);
}

TEST_CASE("batches_per_epoch bounds an epoch") {
  TrainerOptions options = small_options();
  options.batches_per_epoch = 2;
  TorchTrainer run = testing::trainer("linear", options);
  CHECK(run.fit(linear_dataset(40), {}, {})->epochs[0].train.samples == 8);
  options.batches_per_epoch = 1000;
  TorchTrainer all = testing::trainer("linear", options);
  CHECK(all.fit(linear_dataset(10), {}, {})->epochs[0].train.samples == 10);
}

TEST_CASE("the owner sees the whole run") {
  Recorder recorder;
  TorchTrainer run = testing::trainer("linear", small_options(), &recorder);
  const auto report = run.fit(linear_dataset(10), linear_dataset(5), linear_dataset(6));
  REQUIRE(report);
  REQUIRE(recorder.begin);
  CHECK(recorder.begin->train_samples == 10);
  CHECK(recorder.begin->validation_samples == 5);
  CHECK(recorder.begin->test_samples == 6);
  CHECK(recorder.begin->parameters == 15);
  CHECK(recorder.begin->batches == 3);
  CHECK(recorder.begin->threads == 1);
  REQUIRE(recorder.initial);
  CHECK(recorder.initial->samples == 6);
  CHECK(recorder.epochs.size() == 3);
  CHECK(recorder.epochs[1].epoch == 2);
  CHECK(recorder.epochs[1].validation->samples == 5);
  CHECK(recorder.epochs[1].test->samples == 6);
  CHECK(recorder.epochs[1].learning_rate == 0.01);
  CHECK(recorder.epochs[1].train.top_k_accuracy);
  REQUIRE(recorder.end);
  CHECK(recorder.end->epochs.size() == 3);
}

TEST_CASE("no epochs mean an evaluation only") {
  TrainerOptions options = small_options();
  options.epochs = 0;
  TorchTrainer run = testing::trainer("linear", options);
  const auto before = state_of(run);
  const auto report = run.fit(linear_dataset(10), {}, linear_dataset(6));
  REQUIRE(report);
  CHECK(report->epochs.empty());
  CHECK(report->initial);
}

TEST_CASE("evaluating does not touch the training state") {
  TorchTrainer run = testing::trainer("convolution", small_options());
  REQUIRE(fit_images(run));
  const auto before = state_of(run);
  REQUIRE(run.evaluate(image_dataset(9)));
  REQUIRE(predict(run, image_inputs(9)));
  CHECK(state_of(run) == before);
}

TEST_CASE("equal runs are bit-identical") {
  for (const int threads : {1, 2}) {
    TrainerOptions options = small_options();
    options.threads = threads;
    TorchTrainer first = testing::trainer("convolution", options);
    TorchTrainer second = testing::trainer("convolution", options);
    REQUIRE(fit_images(first));
    REQUIRE(fit_images(second));
    CHECK(state_of(first) == state_of(second));
  }
}

TEST_CASE("another seed is another run") {
  TrainerOptions options = small_options();
  TorchTrainer first = testing::trainer("linear", options);
  options.seed = 12;
  TorchTrainer second = testing::trainer("linear", options);
  const double first_loss = first.fit(linear_dataset(10), {}, {})->epochs[0].train.loss;
  CHECK(first_loss != second.fit(linear_dataset(10), {}, {})->epochs[0].train.loss);
}

TEST_CASE("without shuffling the data comes in its order, and is not changed") {
  TrainerOptions options = small_options();
  options.shuffle = false;
  options.epochs = 1;
  TorchTrainer fitted = testing::trainer("linear", options);
  const Dataset data = linear_dataset(4);
  REQUIRE(fitted.fit(data, {}, {}));
  TorchTrainer stepped = testing::trainer("linear", options);
  REQUIRE(step(stepped, linear_inputs(4), class_targets(4)));
  CHECK(predict(fitted, linear_inputs(4))->values == predict(stepped, linear_inputs(4))->values);
  CHECK(fitted.evaluate(data)->loss == fitted.evaluate(linear_dataset(4))->loss);
}

TEST_CASE("a label beyond the model's classes is named before training") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const auto before = state_of(run);
  const Dataset data =
      dataset(linear_inputs(4), Tensor(DType::kU8, {4}, std::vector<std::uint8_t>{0, 1, 3, 2}));
  const Error error = error_of(run.fit(data, {}, {}));
  CHECK(error.code == Errc::kInvalidArgument);
  CHECK(error.message == "train: the label at index 2 is 3; the model has 3 classes, so labels are 0..2");
  CHECK(state_of(run) == before);
}

TEST_CASE("a loss that is not finite names epoch and batch") {
  std::vector<float> values(10 * 4, 0.5F);
  values[9 * 4] = std::numeric_limits<float>::infinity();
  TrainerOptions options = small_options();
  options.shuffle = false;
  TorchTrainer run = testing::trainer("linear", options);
  const Error error =
      error_of(run.fit(dataset(Tensor(DType::kF32, {10, 4}, values), class_targets(10)), {}, {}));
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message.find("epoch 1, batch 3: the loss is ") == 0);
}

TEST_CASE("early stopping ends a run that does not improve") {
  TrainerOptions options = small_options();
  options.epochs = 50;
  options.early_stopping_patience = 3;
  options.optimizer.learning_rate = 0;
  TorchTrainer run = testing::trainer("linear", options);
  const auto report = run.fit(linear_dataset(10), linear_dataset(5), {});
  REQUIRE(report);
  CHECK(report->stopped_early);
  CHECK(report->epochs.size() == 4);
}

TEST_CASE("the state is offered after every epoch") {
  std::vector<std::int64_t> epochs;
  TorchTrainer run = testing::trainer("linear", small_options());
  REQUIRE(run.fit(linear_dataset(10), {}, {}, [&](std::int64_t epoch) {
    epochs.push_back(epoch);
    return Status();
  }));
  CHECK(epochs == std::vector<std::int64_t>{1, 2, 3});
}

TEST_CASE("an error from keeping the state ends the run") {
  TorchTrainer run = testing::trainer("linear", small_options());
  const auto report = run.fit(linear_dataset(10), {}, {}, [](std::int64_t) {
    return Status(Error{Errc::kRuntimeError, "the disk is full"});
  });
  CHECK(error_of(report).message == "the disk is full; 3 steps of this call were completed and kept");
  CHECK(run.epoch() == 1);
}

TEST_CASE("a request to stop ends the run with its state offered once more") {
  StopToken stop;
  StopAfterEpoch after(stop, 2);
  TorchTrainer run = testing::trainer("linear", small_options(), &after, &stop);
  int offered = 0;
  const auto report = run.fit(linear_dataset(10), {}, {}, [&](std::int64_t) {
    ++offered;
    return Status();
  });
  REQUIRE(report);
  CHECK(report->interrupted);
  CHECK(report->epochs.size() == 2);
  CHECK(offered == 3);
}

TEST_CASE("a warm-up is seen in the reported learning rate") {
  TrainerOptions options = small_options();
  options.schedule.warmup_epochs = 2;
  TorchTrainer run = testing::trainer("linear", options);
  const auto report = run.fit(linear_dataset(10), {}, {});
  REQUIRE(report);
  CHECK(report->epochs[0].learning_rate == doctest::Approx(0.005));
  CHECK(report->epochs[1].learning_rate == doctest::Approx(0.01));
}
