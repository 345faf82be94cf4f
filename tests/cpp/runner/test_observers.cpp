// What a run tells its owner: JSON events, and the console lines of the compatibility imports' earlier host.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "../support.hpp"
#include "wasmgrad/runner/classic_observer.hpp"
#include "wasmgrad/runner/json_observer.hpp"

using namespace wasmgrad;
using namespace wasmgrad::runner;
using namespace wasmgrad::test;
using Json = nlohmann::json;

namespace {

training::Metrics metrics(double loss, double accuracy) { return {loss, accuracy, std::nullopt, 100}; }

// A whole run of one epoch.
void play(training::Observer& observer) {
  const std::vector<float> data(784 * 2);
  const auto images =
      TensorView::create("images", DType::kF32, {2, 1, 28, 28}, std::as_bytes(std::span(data)));
  REQUIRE(images);
  observer.on_tensor("train images", *images, 0.5);
  observer.on_classes(10);
  observer.on_warning("model 'm': its mode is fixed");
  training::TrainerOptions options;
  training::FitInfo info;
  info.options = &options;
  info.train_samples = 2;
  info.threads = 2;
  observer.on_fit_begin(info);
  observer.on_initial(metrics(2.3, 0.1028));
  observer.on_progress({1, 3, 9, 1.5, 0.5, 1000});
  training::EpochReport epoch;
  epoch.epoch = 1;
  epoch.train = metrics(std::numeric_limits<double>::quiet_NaN(), 0.9);
  epoch.test = metrics(0.3, 0.9193);
  observer.on_epoch(epoch);
  observer.on_report("recall", std::numeric_limits<double>::infinity());
  observer.on_checkpoint("state", 1);
  observer.on_fit_end({});
  observer.on_model_saved("trained_model.pt", 123);
}

// Everything that `write` puts into a file descriptor.
std::string captured(const std::function<void(int)>& write) {
  const TemporaryDirectory dir;
  const int fd = ::open((dir / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(fd >= 0);
  write(fd);
  ::close(fd);
  return dir.read("out");
}

std::vector<Json> events_of_a_run() {
  std::istringstream lines(captured([](int fd) {
    JsonObserver observer(fd);
    play(observer);
  }));
  std::vector<Json> events;
  for (std::string line; std::getline(lines, line);) events.push_back(Json::parse(line));
  return events;
}

}  // namespace

TEST_CASE("the classic lines have the earlier host's shapes") {
  const std::string text = captured([](int fd) {
    ClassicObserver observer(fd);
    play(observer);
  });
  CHECK(text ==
        "[Plugin] Preparing train images ... [Done] (shape: [2, 1, 28, 28], dtype: Float)\n"
        "[Plugin] Labels: 10\n"
        "[Plugin] Warning: model 'm': its mode is fixed\n"
        "[Plugin] Device: Cpu\n"
        "[Plugin] Learning rate: 0.0001\n"
        "[Plugin] Epochs: 10\n"
        "[Plugin] batch size: 128\n"
        "[Plugin] Optimizer: Adam\n"
        "[Plugin] Loss function: CrossEntropyForLogits\n"
        "[Plugin] Initial accuracy: 10.28%\n"
        "        epoch: 1 test acc: 91.93%\n"
        "[Plugin] Finished\n"
        "[Plugin] The trained model is dumped to `trained_model.pt`\n");
}

TEST_CASE("a regression shows losses in the classic lines") {
  const std::string text = captured([](int fd) {
    ClassicObserver observer(fd);
    training::EpochReport report;
    report.epoch = 3;
    report.train.loss = 0.25;
    observer.on_epoch(report);
    observer.on_initial(report.train);
  });
  CHECK(text == "        epoch: 3 train loss: 0.25\n[Plugin] Initial loss: 0.25\n");
}

TEST_CASE("JSON events come one a line, in order") {
  std::vector<std::string> names;
  for (const Json& event : events_of_a_run()) names.push_back(event.at("event"));
  CHECK(names == std::vector<std::string>{"tensor", "warning", "fit", "initial", "progress", "epoch",
                                          "report", "checkpoint", "fit_end", "model_saved"});
}

TEST_CASE("JSON events carry their fields, and null where a number is not finite") {
  const auto events = events_of_a_run();
  CHECK(events[0].at("shape") == Json({2, 1, 28, 28}));
  CHECK(events[0].at("dtype") == "f32");
  CHECK(events[1].at("message") == "model 'm': its mode is fixed");
  CHECK(events[2].at("optimizer") == "adam");
  CHECK(events[2].at("loss") == "cross_entropy");
  CHECK(events[2].at("classes") == 10);
  CHECK(events[2].at("threads") == 2);
  CHECK(events[3].at("accuracy") == 0.1028);
  CHECK(events[3].at("top_k_accuracy").is_null());
  CHECK(events[4].at("batches") == 9);
  CHECK(events[5].at("train").at("loss").is_null());
  CHECK(events[5].at("test").at("accuracy") == 0.9193);
  CHECK_FALSE(events[5].contains("validation"));
  CHECK(events[6].at("name") == "recall");
  CHECK(events[6].at("value").is_null());
  CHECK(events[9].at("bytes") == 123);
}

TEST_CASE("a failure says where, and what became of the steps before it") {
  const Json event =
      Json::parse(captured([](int fd) { JsonObserver(fd).on_failure({2, 7, 6, true, "the loss is nan"}); }));
  CHECK(event == Json::parse(R"({"event": "failure", "epoch": 2, "batch": 7, "completed_steps": 6,
                                 "restored": true, "message": "the loss is nan"})"));
}

TEST_CASE("text that is not UTF-8 still makes a JSON line") {
  const Json event = Json::parse(console_event("stdout", "a\xff\n"));
  CHECK(event.at("stream") == "stdout");
  CHECK(event.at("text").get<std::string>().starts_with("a"));
}

TEST_CASE("a guest's own exit code is an error of its own kind") {
  const Json event = Json::parse(guest_exit_event(300));
  CHECK(event.at("event") == "error");
  CHECK(event.at("kind") == "guest_exit");
  CHECK(event.at("exit_code") == 300);
}

TEST_CASE("an error event names its kind") {
  const Json event = Json::parse(error_event({Errc::kTooLarge, "too much"}));
  CHECK(event.at("kind") == "too_large");
  CHECK(event.at("message") == "too much");
}
