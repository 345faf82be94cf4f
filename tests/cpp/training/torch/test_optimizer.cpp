#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fixtures.hpp"
#include "wasmgrad/training/state/safetensors.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training;
using namespace wasmgrad::training::testing;

namespace {

constexpr std::int64_t kRows = 12;
constexpr int kSteps = 5;

/// Weight, then bias, after the steps that models.py takes with torch.optim.
std::vector<float> trained_parameters(const TrainerOptions& options) {
  TorchTrainer run = testing::trainer("linear", options);
  for (int i = 0; i < kSteps; ++i) REQUIRE(step(run, linear_inputs(kRows), class_targets(kRows)));
  const auto bytes = state_of(run);
  const auto file = read_safetensors(bytes);
  REQUIRE(file);
  std::vector<float> values;
  for (const char* name : {"model.0.weight", "model.0.bias"}) {
    for (const TensorView& view : file->tensors) {
      if (view.name() != name) continue;
      const std::size_t before = values.size();
      values.resize(before + static_cast<std::size_t>(view.numel()));
      std::memcpy(values.data() + before, view.data().data(), view.data().size());
    }
  }
  return values;
}

void check_against_pytorch(const char* name, const std::function<void(TrainerOptions&)>& choose) {
  std::ifstream file(models_directory() / "optimizers.json");
  const auto expected = nlohmann::json::parse(file).at(name).get<std::vector<float>>();
  TrainerOptions options;
  options.threads = 1;
  options.optimizer.learning_rate = 0.1;
  choose(options);
  const std::vector<float> actual = trained_parameters(options);
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO(name, " ", i);
    CHECK(actual[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  }
}

}  // namespace

TEST_CASE("adam is torch.optim.Adam") {
  check_against_pytorch("adam", [](TrainerOptions& options) {
    options.optimizer.learning_rate = 0.05;
    options.optimizer.weight_decay = 0.01;
  });
}

TEST_CASE("adamw is torch.optim.AdamW") {
  check_against_pytorch("adamw", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kAdamW;
    options.optimizer.learning_rate = 0.05;
    options.optimizer.weight_decay = 0.1;
  });
}

TEST_CASE("sgd is torch.optim.SGD") {
  check_against_pytorch("sgd", [](TrainerOptions& options) { options.optimizer.kind = OptimizerKind::kSGD; });
}

TEST_CASE("sgd with momentum and weight decay is torch.optim.SGD") {
  check_against_pytorch("sgd_momentum", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kSGD;
    options.optimizer.momentum = 0.9;
    options.optimizer.weight_decay = 0.01;
  });
}

TEST_CASE("sgd with nesterov momentum is torch.optim.SGD") {
  check_against_pytorch("sgd_nesterov", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kSGD;
    options.optimizer.momentum = 0.9;
    options.optimizer.nesterov = true;
  });
}

TEST_CASE("rmsprop is torch.optim.RMSprop") {
  check_against_pytorch("rmsprop", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kRMSProp;
    options.optimizer.learning_rate = 0.01;
    options.optimizer.weight_decay = 0.01;
  });
}

TEST_CASE("rmsprop with momentum is torch.optim.RMSprop") {
  check_against_pytorch("rmsprop_momentum", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kRMSProp;
    options.optimizer.learning_rate = 0.01;
    options.optimizer.momentum = 0.9;
    options.optimizer.alpha = 0.9;
  });
}

TEST_CASE("sgd with dampening is torch.optim.SGD") {
  check_against_pytorch("sgd_dampening", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kSGD;
    options.optimizer.momentum = 0.9;
    options.optimizer.dampening = 0.5;
    options.optimizer.weight_decay = 0.01;
  });
}

TEST_CASE("amsgrad is torch.optim.Adam's") {
  check_against_pytorch("adam_amsgrad", [](TrainerOptions& options) {
    options.optimizer.learning_rate = 0.05;
    options.optimizer.amsgrad = true;
    options.optimizer.beta2 = 0.5;
  });
}

TEST_CASE("adagrad is torch.optim.Adagrad") {
  check_against_pytorch("adagrad", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kAdagrad;
    options.optimizer.weight_decay = 0.01;
  });
}

TEST_CASE("nadam is torch.optim.NAdam") {
  check_against_pytorch("nadam", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kNAdam;
    options.optimizer.learning_rate = 0.05;
    options.optimizer.weight_decay = 0.01;
  });
}

TEST_CASE("radam is torch.optim.RAdam, before its variance is known and after") {
  check_against_pytorch("radam", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kRAdam;
    options.optimizer.learning_rate = 0.05;
    options.optimizer.weight_decay = 0.01;
    options.optimizer.beta2 = 0.7;
  });
  check_against_pytorch("radam_long", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kRAdam;
    options.optimizer.learning_rate = 0.05;
  });
}

TEST_CASE("lion is that of its paper") {
  check_against_pytorch("lion", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kLion;
    options.optimizer.learning_rate = 0.01;
    options.optimizer.weight_decay = 0.1;
    options.optimizer.beta2 = 0.99;
  });
}

TEST_CASE("lamb is that of its paper") {
  check_against_pytorch("lamb", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kLAMB;
    options.optimizer.learning_rate = 0.05;
    options.optimizer.weight_decay = 0.1;
  });
}

TEST_CASE("clipping by norm is clip_grad_norm_") {
  check_against_pytorch("clip_norm", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kSGD;
    options.clip_norm = 0.05;
  });
}

TEST_CASE("clipping by value is clip_grad_value_") {
  check_against_pytorch("clip_value", [](TrainerOptions& options) {
    options.optimizer.kind = OptimizerKind::kSGD;
    options.clip_value = 0.02;
  });
}
