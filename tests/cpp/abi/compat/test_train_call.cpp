// The training imports from a guest's bytes to a trained model, called directly on a memory made by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "../../support.hpp"
#include "guest_image.hpp"
#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/training/torch/backend.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

constexpr double kRate = 0.05;

// What an observer was told, in order.
struct Recorder : training::Observer {
  std::vector<std::string> events;
  std::vector<std::string> roles;
  std::int64_t classes = -1;
  StopToken* stop_at_epoch = nullptr;

  void on_tensor(std::string_view role, const TensorView&, double) override { roles.emplace_back(role); }
  void on_classes(std::int64_t value) override { classes = value; }
  void on_fit_begin(const training::FitInfo& info) override {
    events.push_back("fit " + std::to_string(info.options->epochs) + " from " +
                     std::to_string(info.start_epoch));
  }
  void on_epoch(const training::EpochReport& report) override {
    events.push_back("epoch " + std::to_string(report.epoch));
    if (stop_at_epoch != nullptr) stop_at_epoch->request();
  }
  void on_checkpoint(std::string_view, std::int64_t epoch) override {
    events.push_back("checkpoint " + std::to_string(epoch));
  }
  void on_fit_end(const training::FitReport&) override { events.emplace_back("end"); }
  void on_model_saved(std::string_view path, std::uint64_t) override {
    events.push_back("saved " + std::string(path));
  }
};

// The only import of a module.
HostFunction import_of(abi::TrainingHost& host, std::string_view module) {
  const auto functions = host.functions();
  const auto found = std::ranges::find(functions, module, &HostFunction::module);
  REQUIRE(found != functions.end());
  return *found;
}

// A guest that trains the fixture's linear model ([N, 4] to 3 classes) on 12 samples, in a directory of its
// own that it sees as ".".
struct Guest {
  TemporaryDirectory dir;
  GuestImage image;
  Recorder recorder;
  StopToken stop;
  abi::HostConfig config;
  std::vector<Value> arguments;

  explicit Guest(std::string_view model_path = "model.pt") {
    config.backend = &training::torch_backend();
    const char* models = std::getenv("WASMGRAD_TEST_MODELS");
    REQUIRE_MESSAGE(models != nullptr, "run by ctest, which makes the models");
    fs::create_directory(dir / "in");
    fs::copy_file(fs::path(models) / "linear.pt", dir / "in/model.pt");
    fs::copy_file(fs::path(models) / "linear.pt", dir / "outside.pt");
    fs::create_symlink("../outside.pt", dir / "in/link.pt");
    dir.write("in/garbage.pt", "this is no archive");
    config.grants = Grants({{dir / "in", ".", false}});
    config.observer = &recorder;
    config.stop = &stop;
    config.overrides.threads = 1;

    std::vector<float> inputs;
    std::vector<std::int64_t> labels;
    for (int i = 0; i < 48; ++i) inputs.push_back(static_cast<float>(i * 7 % 13) / 13);
    for (int i = 0; i < 12; ++i) labels.push_back(i % 3);
    std::vector<std::uint32_t> records;
    for (int i = 0; i < 2; ++i) {
      records.push_back(image.tensor(inputs, {12, 4}, abi::compat::DType::kF32, "inputs"));
      records.push_back(image.tensor(labels, {12}, abi::compat::DType::kI64, "targets"));
    }
    const std::uint32_t path = image.put(model_path);
    arguments = {{.i32 = image.put(records)},
                 {.i32 = 4},
                 {.i64 = 3},
                 {.i32 = 0},
                 {.f64 = kRate},
                 {.i32 = 2},
                 {.i64 = 4},
                 {.i32 = 2},
                 {.i32 = 1},
                 {.i32 = path},
                 {.i32 = static_cast<std::uint32_t>(model_path.size())}};
  }

  Status train() { return call("wasmedge-nn-training", arguments); }
  Status train_without_path() { return call("naive-math", std::span(arguments).first(9)); }

  std::optional<abi::TrainingOutcome> outcome;

 private:
  Status call(std::string_view module, std::span<const Value> values) {
    abi::TrainingHost host(config);
    Status status = import_of(host, module).call(image.memory(), values, {});
    outcome = host.outcome();
    return status;
  }
};

}  // namespace

TEST_CASE("the two imports have the signatures of their modules") {
  abi::TrainingHost host({});
  using enum ValueType;
  const HostFunction train = import_of(host, "wasmedge-nn-training");
  CHECK(train.name == "train");
  CHECK(train.parameters == std::vector{kI32, kI32, kI64, kI32, kF64, kI32, kI64, kI32, kI32, kI32, kI32});
  CHECK(train.results.empty());
  const HostFunction pathless = import_of(host, "naive-math");
  CHECK(pathless.name == "train");
  CHECK(pathless.parameters == std::vector{kI32, kI32, kI64, kI32, kF64, kI32, kI64, kI32, kI32});
  CHECK(pathless.results.empty());
}

TEST_CASE("a training goes from tensors to a model beside the first one") {
  Guest guest;
  const Status status = guest.train();
  REQUIRE_MESSAGE(status, status.error().message);
  CHECK(guest.recorder.roles ==
        std::vector<std::string>{"train images", "train labels", "test images", "test labels"});
  CHECK(guest.recorder.classes == 3);
  CHECK(guest.recorder.events ==
        std::vector<std::string>{"fit 2 from 0", "epoch 1", "epoch 2", "end", "saved trained_model.pt"});
  REQUIRE(guest.outcome);
  CHECK(guest.outcome->report.epochs.size() == 2);
  CHECK(guest.dir.read("in/trained_model.pt") == text_of(guest.outcome->model));
  CHECK(training::TorchModel::load(guest.outcome->model, "trained", 1 << 20));
}

TEST_CASE("the owner's overrides replace what the guest chose, right or wrong") {
  Guest guest;
  guest.arguments[5].i32 = static_cast<std::uint32_t>(-1);
  guest.arguments[7].i32 = 99;
  guest.config.overrides.epochs = 1;
  guest.config.overrides.optimizer = training::OptimizerKind::kAdam;
  const Status status = guest.train();
  REQUIRE_MESSAGE(status, status.error().message);
  CHECK(guest.recorder.events.front() == "fit 1 from 0");
}

TEST_CASE("a named model is found before the preopens and stays in the outcome") {
  Guest guest("digits");
  guest.config.models["digits"] = guest.dir / "outside.pt";
  const Status status = guest.train();
  REQUIRE_MESSAGE(status, status.error().message);
  REQUIRE(guest.outcome);
  CHECK_FALSE(guest.outcome->model.empty());
  CHECK(guest.recorder.events.back() == "end");
}

TEST_CASE("an output file of the owner's takes the model") {
  Guest guest;
  guest.config.output = guest.dir / "mine.pt";
  REQUIRE(guest.train());
  CHECK(guest.dir.read("mine.pt") == text_of(guest.outcome->model));
  CHECK_FALSE(fs::exists(guest.dir / "in/trained_model.pt"));
}

TEST_CASE("the import without a path trains the default model") {
  Guest guest;
  CHECK(error_of(guest.train_without_path()).code == Errc::kNotFound);
  guest.config.default_model = guest.dir / "outside.pt";
  const Status status = guest.train_without_path();
  REQUIRE_MESSAGE(status, status.error().message);
  CHECK(guest.outcome);
}

TEST_CASE("what does not fit is refused before training, in one sentence") {
  struct Case {
    const char* what;
    void (*spoil)(Guest&);
    Errc code;
    const char* message;
  };
  using G = Guest;
  const Case cases[] = {
      {"device", [](G& g) { g.arguments[3].i32 = 1; }, Errc::kInvalidArgument,
       "train: device 1 is not known"},
      {"labels below 0", [](G& g) { g.arguments[2].i64 = static_cast<std::uint64_t>(-1); },
       Errc::kInvalidArgument, "train: the number of labels is -1"},
      {"labels 0", [](G& g) { g.arguments[2].i64 = 0; }, Errc::kInvalidArgument,
       "train: the number of labels is 0"},
      {"label out of range", [](G& g) { g.arguments[2].i64 = 2; }, Errc::kInvalidArgument,
       "train: tensor 1 (train labels): the label at index 2 is 2; the guest declares 2 classes, so labels "
       "are 0..1"},
      {"optimizer", [](G& g) { g.arguments[7].i32 = 99; }, Errc::kInvalidArgument,
       "train: unknown optimizer 99"},
      {"loss", [](G& g) { g.arguments[8].i32 = 99; }, Errc::kInvalidArgument, "train: unknown loss 99"},
      {"epochs", [](G& g) { g.arguments[5].i32 = static_cast<std::uint32_t>(-1); }, Errc::kInvalidArgument,
       "-1"},
      {"batch size", [](G& g) { g.arguments[6].i64 = 0; }, Errc::kInvalidArgument, "batch_size is 0"},
      {"learning rate", [](G& g) { g.arguments[4].f64 = std::numeric_limits<double>::quiet_NaN(); },
       Errc::kInvalidArgument, "learning_rate is nan"},
      {"tensor", [](G& g) { g.arguments[0].i32 = GuestImage::kBytes; }, Errc::kInvalidArgument,
       "train: the array of tensor addresses of 16 bytes at 0x10000 runs past the end of guest memory (65536 "
       "bytes)"},
      {"path past the end", [](G& g) { g.arguments[9].i32 = GuestImage::kBytes - 1; }, Errc::kInvalidArgument,
       "model path of 8 bytes"},
      {"path wraps", [](G& g) { g.arguments[9].i32 = 0xfffffffe; }, Errc::kInvalidArgument,
       "model path of 8 bytes"},
      {"path empty", [](G& g) { g.arguments[10].i32 = 0; }, Errc::kInvalidArgument,
       "the model path has 0 bytes"},
      {"path huge", [](G& g) { g.arguments[10].i32 = 5000; }, Errc::kInvalidArgument,
       "the model path has 5000 bytes"},
      {"quota", [](G& g) { g.config.max_tensor_bytes = 100; }, Errc::kTooLarge, "100"},
      {"quota of the second set", [](G& g) { g.config.max_tensor_bytes = 300; }, Errc::kTooLarge,
       "test images"},
      {"model file quota", [](G& g) { g.config.max_model_file_bytes = 10; }, Errc::kTooLarge,
       "at most 10 are allowed"},
      {"read-only preopen", [](G& g) { g.config.grants = Grants({{g.dir / "in", ".", true}}); },
       Errc::kSecurity, "read-only"},
      {"output directory", [](G& g) { g.config.output = "/no/such/dir/model.pt"; }, Errc::kRuntimeError,
       "/no/such/dir/model.pt"},
      {"checkpoint directory", [](G& g) { g.config.checkpoint = "/no/such/dir/state"; }, Errc::kRuntimeError,
       "/no/such/dir/state"},
      {"resume file", [](G& g) { g.config.resume = g.dir / "missing"; }, Errc::kNotFound, "missing"},
      {"resume garbage",
       [](G& g) {
         g.dir.write("garbage", std::string_view("\4\0\0\0\0\0\0\0none", 12));
         g.config.resume = g.dir / "garbage";
       },
       Errc::kInvalidEncoding, "garbage"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Guest guest;
    c.spoil(guest);
    const Error error = error_of(guest.train());
    CHECK(error.code == c.code);
    CHECK_MESSAGE(error.message.find(c.message) != std::string::npos, error.message);
    CHECK_FALSE(guest.outcome);
    CHECK_FALSE(fs::exists(guest.dir / "in/trained_model.pt"));
  }
}

TEST_CASE("a model path leads nowhere outside the grants") {
  struct Case {
    const char* path;
    Errc code;
  };
  for (const Case& c : {Case{"../outside.pt", Errc::kSecurity},
                        {"link.pt", Errc::kSecurity},
                        {"/etc/passwd", Errc::kSecurity},
                        {"sub/../../outside.pt", Errc::kNotFound},
                        {"missing.pt", Errc::kNotFound},
                        {"garbage.pt", Errc::kInvalidEncoding}}) {
    CAPTURE(c.path);
    Guest guest(c.path);
    CHECK(error_of(guest.train()).code == c.code);
  }
  Guest with_zero(std::string_view("model.pt\0x", 10));
  CHECK(error_of(with_zero.train()).code == Errc::kInvalidArgument);
}

TEST_CASE("an interrupted training leaves its checkpoint, and resuming equals not stopping") {
  Guest whole;
  whole.arguments[5].i32 = 4;
  REQUIRE(whole.train());

  Guest stopped;
  stopped.arguments[5].i32 = 4;
  stopped.config.checkpoint = stopped.dir / "state";
  stopped.recorder.stop_at_epoch = &stopped.stop;
  CHECK(error_of(stopped.train()).code == Errc::kInterrupted);
  REQUIRE(stopped.outcome);
  CHECK(stopped.outcome->report.interrupted);
  CHECK_FALSE(fs::exists(stopped.dir / "in/trained_model.pt"));

  Guest resumed;
  resumed.arguments[5].i32 = 4;
  resumed.config.resume = stopped.dir / "state";
  const Status status = resumed.train();
  REQUIRE_MESSAGE(status, status.error().message);
  CHECK(resumed.recorder.events.front() == "fit 4 from 1");
  CHECK(text_of(resumed.outcome->model) == text_of(whole.outcome->model));
}

TEST_CASE("the stop token is polled during a call and not after it") {
  Guest guest;
  REQUIRE(guest.train());
  CHECK_FALSE(guest.stop.polled());
  const StopToken::Polling polling(&guest.stop);
  CHECK(guest.stop.polled());
}

TEST_CASE("two tensors train without a test set, six with a validation set") {
  Guest two;
  two.arguments[1].i32 = 2;
  REQUIRE(two.train());
  CHECK_FALSE(two.outcome->report.epochs[0].test);

  Guest six;
  std::vector<std::uint32_t> records;
  for (int i = 0; i < 6; ++i) {
    records.push_back(*six.image.memory().read<std::uint32_t>(six.arguments[0].i32 + 4 * (i % 2), "record"));
  }
  six.arguments[0].i32 = six.image.put(records);
  six.arguments[1].i32 = 6;
  REQUIRE(six.train());
  CHECK(six.outcome->report.epochs[0].test);
  CHECK(six.outcome->report.epochs[0].validation);
  CHECK(six.recorder.roles.back() == "validation labels");
}
