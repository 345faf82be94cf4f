#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <doctest/doctest.h>

#include "reference.hpp"
#include "wasmgrad/training/torch/lowering/specialize.hpp"

namespace wasmgrad::training::lowering {

TEST_CASE("the training flag decides each mode, whatever the module's own flag says") {
  torch::jit::Module module = ModuleBuilder().parameter("w", {1}).define(R"(
def forward(self, x):
    if self.training:
        return x * self.w
    return x - 100.0
)");
  module.eval();
  SingleProgram program = lower(module);
  const at::Tensor x = at::ones({2});
  CHECK(program.forward_eval(x)[0].item<float>() == -99);
  CHECK(program.forward_train(x, {0, 0})[0].item<float>() == module.attr("w").toTensor()[0].item<float>());
}

TEST_CASE("the module's own graph stays as it was") {
  const torch::jit::Module module = ModuleBuilder().parameter("w", {3, 4}).define(R"(
def forward(self, x):
    return torch.dropout(torch.matmul(x, self.w.t()), 0.5, self.training)
)");
  const std::string before = module.get_method("forward").graph()->toString();
  lower(module).forward_train(at::ones({2, 4}), {1, 1});
  CHECK(module.get_method("forward").graph()->toString() == before);
}

TEST_CASE("a parameter written in place is seen by the next run") {
  const torch::jit::Module module = ModuleBuilder().buffer("b", at::ones({1})).define(R"(
def forward(self, x):
    return x + self.b
)");
  SingleProgram program = lower(module);
  module.attr("b").toTensor().fill_(5);
  CHECK(program.forward_eval(at::ones({1})).item<float>() == 6);
}

TEST_CASE("an attribute that the program assigns keeps its value between runs") {
  torch::jit::Module module("m");
  module.register_attribute("training", c10::BoolType::get(), true);
  module.register_attribute("calls", c10::IntType::get(), 0);
  module.define(R"(
def forward(self, x):
    self.calls = self.calls + 1
    return x * self.calls
)");
  SingleProgram program = lower(module);
  program.forward_train(at::ones({1}), {0, 0});
  CHECK(program.forward_train(at::ones({1}), {0, 1}).item<float>() == 2);
  CHECK(program.forward_eval(at::ones({1})).item<float>() == 3);
  CHECK(program.forward_eval(at::ones({1})).item<float>() == 3);
}

TEST_CASE("further arguments of forward take their defaults") {
  const torch::jit::Module module = ModuleBuilder().define(R"(
def forward(self, x, factor: float = 3.0):
    return x * factor
)");
  CHECK(lower(module).forward_eval(at::ones({1})).item<float>() == 3);
}

TEST_CASE("an argument without a default is refused by name") {
  const torch::jit::Module module = ModuleBuilder().define(R"(
def forward(self, x, other):
    return x * other
)");
  const ProgramInput input{"x", {}};
  const auto program = Program::lower(module, {&input, 1});
  REQUIRE_FALSE(program.has_value());
  CHECK(program.error().code == Errc::kInvalidArgument);
  CHECK(program.error().message.find("'other'") != std::string::npos);
}

}  // namespace wasmgrad::training::lowering
