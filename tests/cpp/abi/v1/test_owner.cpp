// The owner's side of a guest that drives its own training: what the owner overrides, is told, and gets.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "../../support.hpp"
#include "guest.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

using namespace wasmgrad;
using namespace wasmgrad::test;
namespace layout = wasmgrad::abi::v1::layout;

namespace {

struct Recorder : training::Observer {
  std::vector<std::string> events;
  std::int64_t samples_of_steps = 0;
  std::function<void()> at_epoch;

  void on_fit_begin(const training::FitInfo&) override { events.emplace_back("fit"); }
  void on_epoch(const training::EpochReport& report) override {
    events.push_back("epoch " + std::to_string(report.epoch));
    if (at_epoch) at_epoch();
  }
  void on_steps(const training::StepsReport& report) override {
    events.push_back("steps " + std::to_string(report.step));
    samples_of_steps += report.train.samples;
  }
  void on_evaluation(const training::Metrics&, std::int64_t step) override {
    events.push_back("evaluation after " + std::to_string(step));
  }
  void on_checkpoint(std::string_view, std::int64_t epoch) override {
    events.push_back("checkpoint " + std::to_string(epoch));
  }
  void on_model_saved(std::string_view path, std::uint64_t) override {
    events.push_back("saved " + std::filesystem::path(path).filename().string());
  }
};

// A guest with an owner who watches it.
struct Owned {
  TemporaryDirectory directory;
  Recorder recorder;
  StopToken stop;
  abi::HostConfig config = [this] {
    abi::HostConfig made = Guest::default_config();
    made.observer = &recorder;
    made.stop = &stop;
    return made;
  }();
};

// What a guest does in most tests: a trainer of the linear model, and data for it.
struct Loop {
  explicit Loop(const abi::HostConfig& config) : guest(config) {}

  Guest guest;
  std::uint32_t model = guest.load_model();
  std::uint32_t trainer = guest.make_trainer(model);
  std::uint32_t data = guest.make_dataset(12);
  std::uint32_t out = guest.reserve(256);

  std::uint32_t fit(std::uint32_t epochs) { return guest.call("trainer_fit", trainer, data, 0, epochs, out); }
  std::uint32_t epoch() { return guest.call("trainer_epoch", trainer, data, out); }
  std::uint32_t step() {
    return guest.call("trainer_step", trainer, guest.linear_inputs(4), 1, guest.classes(4), 1, out);
  }
};

}  // namespace

TEST_CASE("an observer hears of fits, epochs, steps and evaluations") {
  Owned owned;
  Loop loop(owned.config);
  REQUIRE(loop.fit(2) == 0);
  REQUIRE(loop.epoch() == 0);
  for (int i = 0; i < 5; ++i) REQUIRE(loop.step() == 0);
  REQUIRE(loop.guest.call("trainer_evaluate", loop.trainer, loop.data, loop.out) == 0);
  const auto& events = owned.recorder.events;
  CHECK(std::ranges::count(events, "fit") == 1);
  CHECK(std::ranges::count(events, "epoch 3") == 1);
  // Steps are pooled, and none is lost.
  CHECK(owned.recorder.samples_of_steps == 20);
  CHECK(events.back() == "evaluation after 14");
  CHECK(std::ranges::find(events, "steps 14") != events.end());
}

TEST_CASE("what a guest used is counted") {
  Loop loop(Guest::default_config());
  const std::uint64_t calls = loop.guest.host().usage().host_calls;
  REQUIRE(loop.fit(2) == 0);
  REQUIRE(loop.step() == 0);
  const training::Usage usage = loop.guest.host().usage();
  CHECK(usage.steps == 7);
  CHECK(usage.samples == 2 * 12 + 4);
  CHECK(usage.host_calls == calls + 2);
  CHECK(usage.host_seconds > 0);
  // 60 of the model, 24 a row.
  CHECK(usage.host_bytes >= 60 + 12 * 24);
}

TEST_CASE("the owner's options replace the guest's") {
  Owned owned;
  owned.config.overrides.learning_rate = 0.125;
  Loop loop(owned.config);
  REQUIRE(loop.step() == 0);
  CHECK(loop.guest.read<layout::Metrics>(loop.out).learning_rate == 0.125);
}

TEST_CASE("a guest cannot change what the owner decided") {
  Owned owned;
  owned.config.overrides.learning_rate = 0.125;
  Loop loop(owned.config);
  const auto set = [&](std::string_view key) {
    return loop.guest.call("trainer_set", loop.trainer, loop.guest.put(key), key.size(), 0.5);
  };
  CHECK(set("learning_rate") == errno_of(Errc::kUnsupportedOperation));
  CHECK(loop.guest.last_error() ==
        "trainer_set: learning_rate was decided by the owner, who set it to 0.125000");
  CHECK(set("weight_decay") == 0);
}

TEST_CASE("the owner's number of epochs ends a loop that wants more") {
  Owned owned;
  owned.config.overrides.epochs = 3;
  Loop loop(owned.config);
  REQUIRE(loop.epoch() == 0);
  REQUIRE(loop.fit(10) == 0);
  CHECK(loop.guest.read<layout::FitReport>(loop.out).epochs == 2);
  CHECK(loop.epoch() == errno_of(Errc::kInterrupted));
  CHECK(loop.fit(1) == errno_of(Errc::kInterrupted));
  CHECK(loop.fit(0) == 0);
}

TEST_CASE("the model that trained last is the run's result") {
  Owned owned;
  owned.config.output = owned.directory / "mine.pt";
  Loop loop(owned.config);
  REQUIRE(loop.fit(2) == 0);
  REQUIRE(loop.guest.call("trainer_close", loop.trainer) == 0);
  REQUIRE(loop.guest.call("model_close", loop.model) == 0);
  const Status finished = loop.guest.host().finish();
  REQUIRE_MESSAGE(finished, finished.error().message);
  const auto& outcome = loop.guest.host().outcome();
  REQUIRE(outcome);
  CHECK(outcome->report.epochs.size() == 2);
  CHECK(training::TorchModel::load(outcome->model, "trained", 1 << 20));
  CHECK(owned.directory.read("mine.pt") == text_of(outcome->model));
  CHECK(owned.recorder.events.back() == "saved mine.pt");
}

TEST_CASE("a guest that did not train has no result") {
  Owned owned;
  owned.config.output = owned.directory / "mine.pt";
  Loop loop(owned.config);
  REQUIRE(loop.guest.host().finish());
  CHECK_FALSE(loop.guest.host().outcome());
  CHECK(owned.directory.count() == 0);
}

TEST_CASE("the owner's checkpoint follows every epoch, and single steps when the guest ends") {
  Owned owned;
  owned.config.checkpoint = owned.directory / "state";
  Loop loop(owned.config);
  REQUIRE(loop.fit(2) == 0);
  REQUIRE(loop.epoch() == 0);
  CHECK(std::ranges::count(owned.recorder.events, "checkpoint 3") == 1);
  REQUIRE(loop.step() == 0);
  CHECK(std::ranges::count(owned.recorder.events, "checkpoint 3") == 1);
  REQUIRE(loop.guest.host().finish());
  CHECK(std::ranges::count(owned.recorder.events, "checkpoint 3") == 2);
}

TEST_CASE("the owner's checkpoint goes into the first trainer, and the run goes on as if it had not ended") {
  Owned whole;
  Loop uninterrupted(whole.config);
  for (int i = 0; i < 5; ++i) REQUIRE(uninterrupted.step() == 0);
  REQUIRE(uninterrupted.guest.host().finish());

  Owned owned;
  owned.config.checkpoint = owned.directory / "state";
  Loop first(owned.config);
  for (int i = 0; i < 2; ++i) REQUIRE(first.step() == 0);
  REQUIRE(first.guest.call("trainer_close", first.trainer) == 0);

  owned.config.resume = owned.directory / "state";
  Loop second(owned.config);
  for (int i = 0; i < 3; ++i) REQUIRE(second.step() == 0);
  CHECK(second.guest.read<layout::Metrics>(second.out).step == 5);
  REQUIRE(second.guest.host().finish());
  CHECK(text_of(second.guest.host().outcome()->model) ==
        text_of(uninterrupted.guest.host().outcome()->model));

  Loop other(owned.config);
  const std::uint32_t later = other.guest.make_trainer(other.guest.load_model());
  REQUIRE(other.guest.call("trainer_evaluate", later, other.data, other.out) == 0);
  CHECK(other.guest.read<layout::Metrics>(other.out).step == 0);
}

TEST_CASE("files of the owner that do not work are told to the owner, without a path to the guest") {
  struct Case {
    const char* what;
    std::function<void(abi::HostConfig&)> spoil;
  };
  const Case cases[] = {
      {"output", [](abi::HostConfig& config) { config.output = "/no/such/place/model.pt"; }},
      {"checkpoint", [](abi::HostConfig& config) { config.checkpoint = "/no/such/place/state"; }},
      {"resume", [](abi::HostConfig& config) { config.resume = "/no/such/place/state"; }},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    abi::HostConfig config = Guest::default_config();
    c.spoil(config);
    Guest guest(config);
    const std::uint32_t out = guest.reserve(4);
    const std::uint32_t model = guest.load_model();
    CHECK(guest.call("trainer_create", model, guest.put("{}"), 2, out) != 0);
    CHECK(guest.last_error().find("/no/such") == std::string::npos);
    CHECK(error_of(guest.host().finish()).message.find("/no/such/place/") != std::string::npos);
  }
}

TEST_CASE("an owner who asks to stop is obeyed by every call that trains, and what saves still works") {
  Owned owned;
  owned.config.checkpoint = owned.directory / "state";
  Loop loop(owned.config);
  REQUIRE(loop.step() == 0);
  owned.stop.request();
  const auto stopped = errno_of(Errc::kInterrupted);
  CHECK(loop.step() == stopped);
  CHECK(loop.guest.last_error() == "trainer_step: the owner asked to stop, after step 1 (0 whole epochs)");
  CHECK(std::ranges::count(owned.recorder.events, "checkpoint 0") == 1);
  CHECK(loop.fit(1) == stopped);
  CHECK(loop.epoch() == stopped);
  CHECK(loop.guest.call("trainer_evaluate", loop.trainer, loop.data, loop.out) == stopped);
  CHECK(loop.guest.call("trainer_backward", loop.trainer, loop.guest.linear_inputs(4), 1,
                        loop.guest.classes(4), 1, loop.out) == stopped);
  CHECK(loop.guest.call("trainer_checkpoint", loop.trainer, 0, 0, loop.out) == 0);
  CHECK(loop.guest.call("model_export", loop.model, 1, 0, 0, loop.out) == 0);
}

TEST_CASE("a stop within a fit ends it, with the owner's checkpoint and without a trained model") {
  Owned owned;
  owned.config.checkpoint = owned.directory / "state";
  owned.config.output = owned.directory / "mine.pt";
  owned.recorder.at_epoch = [&] { owned.stop.request(); };
  Loop loop(owned.config);
  CHECK(loop.fit(50) == errno_of(Errc::kInterrupted));
  REQUIRE(loop.guest.host().finish());
  CHECK(owned.directory.count() == 1);
  CHECK(loop.guest.host().outcome()->report.interrupted);
}

TEST_CASE("somebody looks at a request to stop as long as there is a trainer") {
  Owned owned;
  Loop loop(owned.config);
  CHECK(owned.stop.polled());
  REQUIRE(loop.guest.call("trainer_close", loop.trainer) == 0);
  CHECK_FALSE(owned.stop.polled());
}

TEST_CASE("a call from within a call is refused and changes nothing") {
  Owned owned;
  std::uint32_t inner = 0;
  Loop* running = nullptr;
  owned.recorder.at_epoch = [&] { inner = running->guest.call("trainer_close", running->trainer); };
  Loop loop(owned.config);
  running = &loop;
  REQUIRE(loop.fit(1) == 0);
  CHECK(inner == errno_of(Errc::kRuntimeError));
  CHECK(loop.guest.last_error() ==
        "trainer_close: another call of this guest is still running; one at a time is possible");
  CHECK(loop.step() == 0);
}

TEST_CASE("a failure of the host that has no name is unknown to the guest, which goes on") {
  Owned owned;
  owned.recorder.at_epoch = [] { throw 1; };
  Loop loop(owned.config);
  CHECK(loop.epoch() == errno_of(Errc::kUnknown));
  CHECK(loop.guest.last_error() == "trainer_epoch: training: an unknown exception was thrown");
  CHECK(loop.step() == 0);
}
