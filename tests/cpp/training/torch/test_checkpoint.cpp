#include <doctest/doctest.h>

#include <cstring>

#include "fixtures.hpp"
#include "wasmgrad/base/file.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

/// Requests a stop at the first progress report, which comes within an epoch.
class StopAtProgress final : public Observer {
 public:
  explicit StopAtProgress(StopToken& token) : token_(token) {}
  void on_progress(const Progress& progress) override {
    token_.request();
    batch = progress.batch;
    batches = progress.batches;
  }

  std::int64_t batch = 0, batches = 0;

 private:
  StopToken& token_;
};

/// One epoch that takes far longer than the interval between progress reports.
TrainerOptions long_epoch() {
  TrainerOptions options = small_options();
  options.batch_size = 1;
  options.epochs = 1;
  return options;
}

constexpr std::int64_t kLongEpochRows = 12000;

Error restore_error(const TrainerOptions& options, std::span<const std::byte> checkpoint,
                    const std::string& model = "convolution") {
  TorchTrainer run = testing::trainer(model, options);
  const auto before = state_of(run);
  const Status status = run.restore(checkpoint);
  REQUIRE_FALSE(status);
  CHECK(state_of(run) == before);
  return status.error();
}

std::vector<std::byte> checkpoint_of_a_run() {
  TorchTrainer run = testing::trainer("convolution", small_options());
  REQUIRE(run.fit(image_dataset(14), {}, {}));
  return state_of(run);
}

}  // namespace

TEST_CASE("a checkpoint restores the state bit for bit") {
  const auto checkpoint = checkpoint_of_a_run();
  REQUIRE(write_file_atomic(models_directory() / "checkpoint.safetensors", checkpoint));
  TorchTrainer run = testing::trainer("convolution", small_options());
  REQUIRE(run.restore(checkpoint));
  CHECK(run.epoch() == 3);
  CHECK(state_of(run) == checkpoint);
}

TEST_CASE("a run stopped after an epoch and resumed is bit-identical to one that was not") {
  for (const auto kind : {OptimizerKind::kAdam, OptimizerKind::kSGD, OptimizerKind::kRMSProp}) {
    TrainerOptions options = small_options();
    options.optimizer.kind = kind;
    options.optimizer.momentum = 0.9;
    options.schedule.kind = ScheduleKind::kCosine;
    TorchTrainer whole = testing::trainer("convolution", options);
    REQUIRE(whole.fit(image_dataset(14), image_dataset(5), {}));

    StopToken stop;
    StopAfterEpoch after(stop, 2);
    TorchTrainer first = testing::trainer("convolution", options, &after, &stop);
    REQUIRE(first.fit(image_dataset(14), image_dataset(5), {})->interrupted);
    TorchTrainer second = testing::trainer("convolution", options);
    REQUIRE(second.restore(state_of(first)));
    const auto report = second.fit(image_dataset(14), image_dataset(5), {});
    REQUIRE(report);
    CHECK(report->epochs.size() == 1);
    CHECK_FALSE(report->initial);
    CHECK(state_of(second) == state_of(whole));
  }
}

TEST_CASE("a run stopped within an epoch and resumed is bit-identical to one that was not") {
  const Dataset data = linear_dataset(kLongEpochRows);
  for (const char* model : {"linear", "noise"}) {
    INFO(model);
    TorchTrainer whole = testing::trainer(model, long_epoch());
    const auto expected = whole.fit(data, {}, {});
    REQUIRE(expected);

    StopToken stop;
    StopAtProgress at_progress(stop);
    TorchTrainer first = testing::trainer(model, long_epoch(), &at_progress, &stop);
    REQUIRE(first.fit(data, {}, {})->interrupted);
    REQUIRE(at_progress.batch < at_progress.batches);
    TorchTrainer second = testing::trainer(model, long_epoch());
    REQUIRE(second.restore(state_of(first)));
    const auto resumed = second.fit(data, {}, {});
    REQUIRE(resumed);
    CHECK(state_of(second) == state_of(whole));
    CHECK(resumed->epochs[0].train.samples == kLongEpochRows);
    CHECK(resumed->epochs[0].train.loss == expected->epochs[0].train.loss);
  }
}

TEST_CASE("an epoch under way does not go on over another data set") {
  StopToken stop;
  StopAtProgress at_progress(stop);
  TorchTrainer first = testing::trainer("linear", long_epoch(), &at_progress, &stop);
  REQUIRE(first.fit(linear_dataset(kLongEpochRows), {}, {})->interrupted);
  TorchTrainer second = testing::trainer("linear", long_epoch());
  REQUIRE(second.restore(state_of(first)));
  const auto report = second.fit(linear_dataset(100), {}, {});
  REQUIRE_FALSE(report);
  CHECK(report.error().code == Errc::kInvalidArgument);
}

TEST_CASE("what must agree between two runs is named when it does not") {
  const auto checkpoint = checkpoint_of_a_run();
  struct Case {
    const char* what;
    std::function<void(TrainerOptions&)> change;
  };
  const Case cases[] = {
      {"optimizer is adam there and sgd in this run",
       [](auto& o) { o.optimizer.kind = OptimizerKind::kSGD; }},
      {"seed is 11 there and 12 in this run", [](auto& o) { o.seed = 12; }},
      {"threads is 1 there and 2 in this run", [](auto& o) { o.threads = 2; }},
      {"batch_size is 4 there and 8 in this run", [](auto& o) { o.batch_size = 8; }},
      {"shuffle is on there and off in this run", [](auto& o) { o.shuffle = false; }},
      {"batches_per_epoch is all there and 2 in this run", [](auto& o) { o.batches_per_epoch = 2; }},
  };
  for (const Case& test : cases) {
    TrainerOptions options = small_options();
    test.change(options);
    const Error error = restore_error(options, checkpoint);
    CHECK(error.code == Errc::kInvalidArgument);
    CHECK(error.message == std::string("checkpoint: ") + test.what);
  }
}

TEST_CASE("a checkpoint of another model is refused by the tensor that differs") {
  const Error error = restore_error(small_options(), checkpoint_of_a_run(), "linear");
  CHECK(error.code == Errc::kInvalidArgument);
  CHECK(error.message.find("model.0.weight") != std::string::npos);
}

TEST_CASE("a damaged checkpoint is refused and changes nothing") {
  const auto checkpoint = checkpoint_of_a_run();
  auto flipped = checkpoint;
  flipped[flipped.size() - 5] ^= std::byte{1};
  CHECK(restore_error(small_options(), flipped).code == Errc::kInvalidEncoding);
  CHECK(restore_error(small_options(), std::span(checkpoint).first(checkpoint.size() - 1)).code ==
        Errc::kInvalidEncoding);
  CHECK(restore_error(small_options(), {}).code == Errc::kInvalidEncoding);
}

TEST_CASE("safetensors that are no checkpoint are refused") {
  const std::string header = "{}      ";
  std::vector<std::byte> file(8 + header.size());
  file[0] = std::byte{8};
  std::memcpy(file.data() + 8, header.data(), header.size());
  const Error error = restore_error(small_options(), file);
  CHECK(error.code == Errc::kInvalidEncoding);
  CHECK(error.message.find("not a checkpoint") != std::string::npos);
}
