// One run in this process: a real guest, a real model.
#include <doctest/doctest.h>

#include <cstdlib>

#include "../support.hpp"
#include "wasmgrad/runner/runner.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::runner;
using namespace wasmgrad::test;

namespace {

RunConfig config_for(const TemporaryDirectory& dir, const char* guest, std::vector<std::string> args) {
  fs::copy_file(fs::path(std::getenv("WASMGRAD_TEST_MODELS")) / "linear.pt", dir / "model.pt");
  RunConfig config;
  config.guest = fs::path(std::getenv("GUESTS")) / guest;
  config.args = std::move(args);
  config.dirs = {{dir.path(), ".", false}};
  config.training.threads = 1;
  return config;
}

}  // namespace

TEST_CASE("a guest trains a model and leaves it beside the first one") {
  const TemporaryDirectory dir;
  const auto report = run(config_for(dir, "train_misuse.wasm", {"none"}), nullptr, nullptr);
  REQUIRE_MESSAGE(report, report.error().message);
  CHECK(report->exit_code == 0);
  REQUIRE(report->outcome);
  CHECK(report->outcome->report.epochs.size() == 1);
  CHECK(dir.read("trained_model.pt") == text_of(report->outcome->model));
}

TEST_CASE("the sentence of a refused call is the run's error") {
  const TemporaryDirectory dir;
  const Error error =
      error_of(run(config_for(dir, "train_misuse.wasm", {"dtype-unknown"}), nullptr, nullptr));
  CHECK(error.code == Errc::kInvalidArgument);
  CHECK(error.message.starts_with("train: tensor 0 (train images): dtype 9 is not known"));
}

TEST_CASE("a guest's exit code is reported") {
  const TemporaryDirectory dir;
  const auto report = run(config_for(dir, "misbehave.wasm", {"exit-3"}), nullptr, nullptr);
  REQUIRE(report);
  CHECK(report->exit_code == 3);
  CHECK_FALSE(report->outcome);
}

TEST_CASE("a guest that is not there is named") {
  RunConfig config;
  config.guest = "/no/such/guest.wasm";
  const Error error = error_of(run(config, nullptr, nullptr));
  CHECK(error.code == Errc::kNotFound);
  CHECK(error.message == "guest: '/no/such/guest.wasm' does not exist");
}
