// Trainers as a guest drives them: what each function does when everything is right, and what it refuses.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "guest.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;
namespace layout = wasmgrad::abi::v1::layout;

namespace {

constexpr std::uint32_t kParameterBytes = 15 * 4;  // of the linear model

// A guest with a trainer of the linear model.
struct Trained {
  Guest guest;
  std::uint32_t model = guest.load_model();
  std::uint32_t trainer = guest.make_trainer(model);
  std::uint32_t out = guest.reserve(256);

  std::uint32_t step(const char* function = "trainer_step", std::uint32_t rows = 4) {
    return guest.call(function, trainer, guest.linear_inputs(rows), 1, guest.classes(rows), 1, out);
  }
  layout::Metrics metrics() { return guest.read<layout::Metrics>(out); }
  layout::FitReport report() { return guest.read<layout::FitReport>(out); }

  std::vector<float> values(const char* function) {
    const std::uint32_t buffer = guest.reserve(kParameterBytes);
    const std::uint32_t written = guest.reserve(4);
    REQUIRE(guest.call(function, trainer, buffer, kParameterBytes, written) == 0);
    CHECK(guest.read<std::uint32_t>(written) == kParameterBytes);
    return guest.read_all<float>(buffer, 15);
  }
  std::vector<float> parameters() { return values("trainer_parameters"); }
  std::vector<float> gradients() { return values("trainer_gradients"); }

  std::vector<std::byte> checkpoint() {
    const std::uint32_t written = guest.reserve(4);
    REQUIRE(guest.call("trainer_checkpoint", trainer, 0, 0, written) == 0);
    const auto size = guest.read<std::uint32_t>(written);
    const std::uint32_t buffer = guest.reserve(size);
    REQUIRE(guest.call("trainer_checkpoint", trainer, buffer, size, written) == 0);
    return guest.read_all<std::byte>(buffer, size);
  }
  std::uint32_t set(std::string_view key, double value) {
    return guest.call("trainer_set", trainer, guest.put(key), key.size(), value);
  }
};

}  // namespace

TEST_CASE("fit trains epochs and reports the last one") {
  Trained t;
  const std::uint32_t train = t.guest.make_dataset(12);
  const std::uint32_t validation = t.guest.make_dataset(6);
  REQUIRE_MESSAGE(t.guest.call("trainer_fit", t.trainer, train, validation, 3, t.out) == 0,
                  t.guest.last_error());
  const layout::FitReport report = t.report();
  CHECK(report.epochs == 3);
  CHECK(report.stopped_early == 0);
  CHECK(report.train.samples == 12);
  CHECK(report.train.epoch == 3);
  CHECK(report.train.step == 9);
  CHECK(report.train.learning_rate == 0.05);
  CHECK(report.train.seconds >= 0);
  CHECK(std::isfinite(report.train.loss));
  CHECK(report.validation.samples == 6);
  CHECK(report.validation.accuracy >= 0);
  CHECK(std::isfinite(report.validation.top_k_accuracy));
  CHECK(std::isnan(report.validation.learning_rate));
}

TEST_CASE("fit without validation data has no figures of it, and goes on where it was") {
  Trained t;
  const std::uint32_t train = t.guest.make_dataset(12);
  REQUIRE(t.guest.call("trainer_fit", t.trainer, train, 0, 1, t.out) == 0);
  CHECK(std::isnan(t.report().validation.loss));
  CHECK(t.report().validation.samples == 0);
  REQUIRE(t.guest.call("trainer_fit", t.trainer, train, 0, 2, t.out) == 0);
  CHECK(t.report().epochs == 2);
  CHECK(t.report().train.epoch == 3);
  REQUIRE(t.guest.call("trainer_fit", t.trainer, train, 0, 0, t.out) == 0);
  CHECK(t.report().epochs == 0);
  CHECK(std::isnan(t.report().train.loss));
}

TEST_CASE("early stopping ends a fit and says so") {
  Trained t;
  const std::uint32_t other = t.guest.load_model();
  t.trainer = t.guest.make_trainer(
      other, R"({"optimizer": {"name": "sgd", "learning_rate": 0}, "early_stopping": {"patience": 2}})");
  REQUIRE(t.guest.call("trainer_fit", t.trainer, t.guest.make_dataset(12), 0, 50, t.out) == 0);
  CHECK(t.report().stopped_early == 1);
  CHECK(t.report().epochs == 3);
}

TEST_CASE("single epochs equal a fit") {
  Trained one;
  Trained other;
  const std::uint32_t data = one.guest.make_dataset(12);
  REQUIRE(one.guest.call("trainer_epoch", one.trainer, data, one.out) == 0);
  REQUIRE(one.guest.call("trainer_epoch", one.trainer, data, one.out) == 0);
  CHECK(one.metrics().epoch == 2);
  CHECK(one.metrics().samples == 12);
  REQUIRE(other.guest.call("trainer_fit", other.trainer, other.guest.make_dataset(12), 0, 2, other.out) == 0);
  CHECK(one.parameters() == other.parameters());
}

TEST_CASE("a step is a backward and an apply") {
  Trained one;
  Trained other;
  REQUIRE_MESSAGE(one.step() == 0, one.guest.last_error());
  CHECK(one.metrics().step == 1);
  CHECK(one.metrics().samples == 4);
  CHECK(one.metrics().learning_rate == 0.05);
  REQUIRE(other.step("trainer_backward") == 0);
  CHECK(other.metrics().step == 0);
  CHECK(std::isnan(other.metrics().learning_rate));
  CHECK(other.metrics().loss == one.metrics().loss);
  REQUIRE(other.guest.call("trainer_apply", other.trainer) == 0);
  CHECK(one.parameters() == other.parameters());
}

TEST_CASE("gradients are the mean of those added, and can be replaced") {
  Trained t;
  CHECK(t.gradients() == std::vector<float>(15, 0));
  REQUIRE(t.step("trainer_backward") == 0);
  const std::vector<float> once = t.gradients();
  REQUIRE(t.step("trainer_backward") == 0);
  const std::vector<float> twice = t.gradients();
  for (std::size_t i = 0; i < once.size(); ++i) CHECK(twice[i] == doctest::Approx(once[i]));
  const std::uint32_t zero = t.guest.put(std::vector<float>(15, 0));
  const std::vector<float> before = t.parameters();
  REQUIRE(t.guest.call("trainer_set_gradients", t.trainer, zero, kParameterBytes) == 0);
  CHECK(t.gradients() == std::vector<float>(15, 0));
  REQUIRE(t.guest.call("trainer_apply", t.trainer) == 0);
  CHECK(t.parameters() == before);
}

TEST_CASE("applying without gradients is refused") {
  Trained t;
  CHECK(t.guest.call("trainer_apply", t.trainer) == errno_of(Errc::kInvalidArgument));
}

TEST_CASE("parameters can be exchanged at any address") {
  Trained t;
  std::vector<float> wanted(15, 0.25F);
  wanted[3] = -1;
  std::vector<std::byte> shifted(kParameterBytes + 1);
  std::memcpy(shifted.data() + 1, wanted.data(), kParameterBytes);
  REQUIRE(t.guest.call("trainer_set_parameters", t.trainer, t.guest.put(shifted) + 1, kParameterBytes) == 0);
  CHECK(t.parameters() == wanted);
}

TEST_CASE("parameters and gradients of another size or not finite are refused, and nothing changes") {
  Trained t;
  const std::vector<float> before = t.parameters();
  std::vector<float> values(15, 1);
  for (const char* function : {"trainer_set_parameters", "trainer_set_gradients"}) {
    CAPTURE(function);
    const std::uint32_t right = t.guest.put(values);
    for (const std::uint32_t bytes : {0U, 4U, kParameterBytes - 1, kParameterBytes + 4}) {
      CHECK(t.guest.call(function, t.trainer, right, bytes) == errno_of(Errc::kInvalidArgument));
    }
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      std::vector<float> spoilt = values;
      spoilt[14] = bad;
      CHECK(t.guest.call(function, t.trainer, t.guest.put(spoilt), kParameterBytes) ==
            errno_of(Errc::kInvalidArgument));
    }
  }
  CHECK(t.parameters() == before);
  CHECK(t.gradients() == std::vector<float>(15, 0));
}

TEST_CASE("a buffer too small for parameters is told their size") {
  Trained t;
  for (const char* function : {"trainer_parameters", "trainer_gradients"}) {
    const std::uint32_t buffer = t.guest.reserve(kParameterBytes);
    CHECK(t.guest.call(function, t.trainer, buffer, kParameterBytes - 1, t.out) == errno_of(Errc::kTooLarge));
    CHECK(t.guest.read<std::uint32_t>(t.out) == kParameterBytes);
    CHECK(t.guest.call(function, t.trainer, 0, 0, t.out) == 0);
    CHECK(t.guest.read<std::uint32_t>(t.out) == kParameterBytes);
  }
}

TEST_CASE("evaluation measures without training") {
  Trained t;
  const std::vector<float> before = t.parameters();
  REQUIRE(t.guest.call("trainer_evaluate", t.trainer, t.guest.make_dataset(9), t.out) == 0);
  CHECK(t.metrics().samples == 9);
  CHECK(t.metrics().step == 0);
  CHECK(std::isfinite(t.metrics().loss));
  CHECK(std::isnan(t.metrics().learning_rate));
  CHECK(t.parameters() == before);
}

TEST_CASE("a prediction is kept until the next one") {
  Trained t;
  const std::uint32_t info = t.guest.reserve(sizeof(layout::OutputInfo));
  const std::uint32_t buffer = t.guest.reserve(256);
  const auto output = [&](std::uint32_t index, std::uint32_t room) {
    return t.guest.call("trainer_output", t.trainer, index, info, buffer, room, t.out);
  };
  CHECK(output(0, 256) == errno_of(Errc::kInvalidArgument));
  REQUIRE(t.guest.call("trainer_predict", t.trainer, t.guest.linear_inputs(5), 1, t.out) == 0);
  CHECK(t.guest.read<std::uint32_t>(t.out) == 1);
  REQUIRE(output(0, 256) == 0);
  CHECK(t.guest.read<std::uint32_t>(t.out) == 5 * 3 * 4);
  const auto described = t.guest.read<layout::OutputInfo>(info);
  CHECK(described.type == static_cast<std::uint32_t>(DType::kF32));
  CHECK(described.rank == 2);
  CHECK(described.dims[0] == 5);
  CHECK(described.dims[1] == 3);
  CHECK(output(1, 256) == errno_of(Errc::kInvalidArgument));
  // One that fails leaves the last one.
  CHECK(t.guest.call("trainer_predict", t.trainer, 0, 0, t.out) == errno_of(Errc::kInvalidArgument));
  CHECK(output(0, 256) == 0);
}

TEST_CASE("an output that does not fit says its size and nothing else") {
  Trained t;
  REQUIRE(t.guest.call("trainer_predict", t.trainer, t.guest.linear_inputs(5), 1, t.out) == 0);
  const std::uint32_t info = t.guest.reserve(sizeof(layout::OutputInfo));
  const std::uint32_t buffer = t.guest.reserve(64);
  CHECK(t.guest.call("trainer_output", t.trainer, 0, info, buffer, 59, t.out) == errno_of(Errc::kTooLarge));
  CHECK(t.guest.read<std::uint32_t>(t.out) == 60);
  CHECK(t.guest.read<layout::OutputInfo>(info).rank == 0);
  CHECK(t.guest.call("trainer_output", t.trainer, 0, info, 0, 0, t.out) == 0);
  CHECK(t.guest.read<layout::OutputInfo>(info).rank == 2);
}

TEST_CASE("what is set holds from the next step on") {
  Trained t;
  REQUIRE(t.set("learning_rate", 0.5) == 0);
  REQUIRE(t.step() == 0);
  CHECK(t.metrics().learning_rate == 0.5);
}

TEST_CASE("what cannot be set is refused") {
  Trained t;
  CHECK(t.set("lr", 0.5) == errno_of(Errc::kNotFound));
  CHECK(t.guest.last_error().find("learning_rate") != std::string::npos);
  for (const double value : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    for (const char* key : {"learning_rate", "weight_decay", "epsilon", "clip_norm", "clip_value"}) {
      CAPTURE(key);
      CHECK(t.set(key, value) == errno_of(Errc::kInvalidArgument));
    }
  }
  CHECK(t.set("beta1", 1) == errno_of(Errc::kInvalidArgument));
  CHECK(t.set(std::string(2000, 'x'), 1) == errno_of(Errc::kInvalidArgument));
  CHECK(t.set("\xff", 1) == errno_of(Errc::kInvalidArgument));
  REQUIRE(t.step() == 0);
  CHECK(t.metrics().learning_rate == 0.05);
}

TEST_CASE("a checkpoint restored goes on as if nothing had happened") {
  Trained whole;
  for (int i = 0; i < 4; ++i) REQUIRE(whole.step() == 0);

  Trained first;
  for (int i = 0; i < 2; ++i) REQUIRE(first.step() == 0);
  const auto state = first.checkpoint();

  Trained second;
  const std::uint32_t address = second.guest.put(state);
  REQUIRE(second.guest.call("trainer_restore", second.trainer, address, state.size()) == 0);
  for (int i = 0; i < 2; ++i) REQUIRE(second.step() == 0);
  CHECK(second.metrics().step == 4);
  CHECK(second.parameters() == whole.parameters());
}

TEST_CASE("a checkpoint that is damaged or of something else is refused, and nothing changes") {
  Trained t;
  REQUIRE(t.step() == 0);
  auto state = t.checkpoint();
  const std::vector<float> before = t.parameters();
  const auto restore = [&](std::uint32_t trainer, const std::vector<std::byte>& bytes) {
    return t.guest.call("trainer_restore", trainer, t.guest.put(bytes), bytes.size());
  };
  CHECK(restore(t.trainer, {}) == errno_of(Errc::kInvalidEncoding));
  CHECK(restore(t.trainer, {state.begin(), state.end() - 1}) == errno_of(Errc::kInvalidEncoding));
  const std::uint32_t other = t.guest.make_trainer(t.guest.load_model(), R"({"optimizer": "sgd"})");
  CHECK(restore(other, state) == errno_of(Errc::kInvalidArgument));
  state[state.size() - 1] ^= std::byte{1};
  CHECK(restore(t.trainer, state) == errno_of(Errc::kInvalidEncoding));
  CHECK(t.parameters() == before);
}

TEST_CASE("a checkpoint asked for by size is that of the time when it is read") {
  Trained t;
  const std::uint32_t written = t.guest.reserve(4);
  REQUIRE(t.guest.call("trainer_checkpoint", t.trainer, 0, 0, written) == 0);
  REQUIRE(t.step() == 0);
  const auto after = t.checkpoint();
  CHECK(after == t.checkpoint());
  Trained other;
  REQUIRE(other.guest.call("trainer_restore", other.trainer, other.guest.put(after), after.size()) == 0);
  CHECK(other.parameters() == t.parameters());
}

TEST_CASE("a trainer's state counts against the owner's limit") {
  abi::HostConfig config = Guest::default_config();
  config.max_tensor_bytes = 100;
  Guest guest(config);
  const std::uint32_t model = guest.load_model();
  const std::uint32_t out = guest.reserve(4);
  CHECK(guest.call("trainer_create", model, guest.put("{}"), 2, out) == errno_of(Errc::kTooLarge));
  CHECK(guest.last_error().find("the trainer's state would take") != std::string::npos);
}

TEST_CASE("what restore_on_error keeps counts against the owner's limit") {
  const auto create = [](std::uint64_t most, const std::string& options) {
    abi::HostConfig config = Guest::default_config();
    config.max_tensor_bytes = most;
    Guest guest(config);
    const std::uint32_t model = guest.load_model();
    return guest.call("trainer_create", model, guest.put(options), options.size(), guest.reserve(4));
  };
  std::uint64_t least = 100;  // the model fits
  while (create(least, "{}") != 0) least += 4;
  CHECK(create(least, R"({"restore_on_error": true})") == errno_of(Errc::kTooLarge));
  CHECK(create(3 * least, R"({"restore_on_error": true})") == 0);
}

TEST_CASE("options that are wrong make no trainer and leave the model free") {
  Guest guest;
  const std::uint32_t model = guest.load_model();
  const std::uint32_t out = guest.reserve(4);
  const auto create = [&](std::string_view options) {
    return guest.call("trainer_create", model, guest.put(options), options.size(), out);
  };
  CHECK(create(R"({"batch_sise": 3})") == errno_of(Errc::kInvalidArgument));
  CHECK(create("{") == errno_of(Errc::kInvalidEncoding));
  CHECK(create(R"({"batch_size": 0})") == errno_of(Errc::kInvalidArgument));
  CHECK(create(R"({"optimizer": {"learning_rate": -1}})") == errno_of(Errc::kInvalidArgument));
  CHECK(create(R"({"freeze": ["no.such.*"]})") == errno_of(Errc::kInvalidArgument));
  CHECK(create(R"({"freeze": ["*"]})") == errno_of(Errc::kInvalidArgument));
  CHECK(guest.read<std::uint32_t>(out) == 0);
  CHECK(create("{}") == 0);
}

TEST_CASE("data that does not fit the model is refused before it trains") {
  Trained t;
  const auto refused = errno_of(Errc::kInvalidArgument);
  const std::uint32_t classes = t.guest.classes(4);
  const auto step = [&](std::uint32_t inputs, std::uint32_t n_inputs, std::uint32_t targets,
                        std::uint32_t n_targets) {
    return t.guest.call("trainer_step", t.trainer, inputs, n_inputs, targets, n_targets, t.out);
  };
  const std::vector<float> before = t.parameters();
  const std::uint32_t inputs = t.guest.linear_inputs(4);
  CHECK(step(t.guest.list({{"", DType::kF32, {4, 5}, std::vector<float>(20)}}), 1, classes, 1) == refused);
  CHECK(step(t.guest.linear_inputs(3), 1, classes, 1) == refused);
  CHECK(step(t.guest.linear_inputs(4, "no_such_argument"), 1, classes, 1) == refused);
  CHECK(step(inputs, 1, t.guest.list({{"", DType::kI64, {4}, std::vector<std::int64_t>{0, 1, 2, 3}}}), 1) ==
        refused);
  CHECK(step(inputs, 1, t.guest.list({{"", DType::kF32, {4}, std::vector<float>{0, 1, 2, 0.5F}}}), 1) ==
        refused);
  CHECK(step(inputs, 1, 0, 0) == refused);
  CHECK(step(0, 0, classes, 1) == refused);
  CHECK(t.parameters() == before);
  CHECK(step(inputs, 1, classes, 1) == 0);
  CHECK(t.metrics().step == 1);
}

TEST_CASE("a loss that is not finite is the operation's failure") {
  Trained t;
  const std::uint32_t inputs = t.guest.list(
      {{"", DType::kF32, {1, 4}, std::vector<float>(4, std::numeric_limits<float>::infinity())}});
  CHECK(t.guest.call("trainer_step", t.trainer, inputs, 1, t.guest.classes(1), 1, t.out) ==
        errno_of(Errc::kRuntimeError));
}

TEST_CASE("an empty dataset cannot be trained on") {
  Guest guest;
  const std::uint32_t dataset = guest.make_dataset(0);
  const std::uint32_t report = guest.reserve(136);
  const std::uint32_t trainer = guest.make_trainer(guest.load_model());
  CHECK(guest.call("trainer_fit", trainer, dataset, 0, 1, report) == errno_of(Errc::kInvalidArgument));
}

TEST_CASE("a dataset that was trained on cannot grow") {
  Guest guest;
  const std::uint32_t used = guest.make_dataset(8);
  const std::uint32_t metrics = guest.reserve(136);
  const std::uint32_t trainer = guest.make_trainer(guest.load_model());
  REQUIRE(guest.call("trainer_epoch", trainer, used, metrics) == 0);
  CHECK(guest.call("dataset_append", used, guest.linear_inputs(1), 1, guest.classes(1), 1) ==
        errno_of(Errc::kInvalidArgument));
}
