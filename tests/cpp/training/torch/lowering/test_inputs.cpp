// Several inputs, matched by name, and named outputs.
#include <ATen/ops/arange.h>
#include <ATen/ops/ones.h>
#include <doctest/doctest.h>

#include "reference.hpp"

namespace wasmgrad::training::lowering {
namespace {

using Kind = InputTransform::Kind;

Program program_of(const torch::jit::Module& module, const std::vector<ProgramInput>& inputs) {
  auto program = Program::lower(module, inputs);
  REQUIRE_MESSAGE(program.has_value(), (program ? "" : program.error().message));
  return std::move(program).value();
}

std::string refusal(const torch::jit::Module& module, const std::vector<ProgramInput>& inputs) {
  const auto program = Program::lower(module, inputs);
  REQUIRE_FALSE(program.has_value());
  CHECK(program.error().code == Errc::kInvalidArgument);
  return program.error().message;
}

torch::jit::Module difference() {
  return ModuleBuilder().define(R"(
def forward(self, left, right):
    return left - right
)");
}

torch::jit::Module own_loss() {
  return ModuleBuilder().parameter("w", {1}).define(R"(
def forward(self, x, target: Optional[Tensor] = None, scale: float = 2.0):
    y = x * self.w
    result = {"y": y}
    if target is not None:
        result["loss"] = ((y - target) * scale).pow(2).sum()
    return result
)");
}

std::vector<std::string> names(const std::vector<NamedTensor>& outputs) {
  std::vector<std::string> found;
  for (const NamedTensor& output : outputs) found.push_back(output.name);
  return found;
}

}  // namespace

TEST_CASE("inputs go to the arguments they name, in any order") {
  const std::vector<at::Tensor> inputs{at::ones({2}), at::ones({2}) * 5};
  CHECK(program_of(difference(), {{"right", {}}, {"left", {}}})
            .forward_eval(inputs)[0]
            .tensor[0]
            .item<float>() == 4);
  CHECK(program_of(difference(), {{"left", {}}, {"right", {}}})
            .forward_eval(inputs)[0]
            .tensor[0]
            .item<float>() == -4);
}

TEST_CASE("each input has a transform of its own") {
  const std::vector<at::Tensor> inputs{at::ones({2}, at::kByte), at::ones({2}, at::kByte)};
  Program program = program_of(difference(), {{"left", {3, 1}}, {"right", {0.5, 0}}});
  CHECK(program.forward_eval(inputs)[0].tensor[0].item<float>() == 3.5F);
}

TEST_CASE("integers stay integers when asked, and other inputs as they are") {
  const torch::jit::Module module = ModuleBuilder().parameter("w", {4, 3}).define(R"(
def forward(self, ids, raw):
    return torch.embedding(self.w, ids), raw
)");
  Program program = program_of(module, {{"ids", {1, 0, Kind::kInteger}}, {"raw", {1, 0, Kind::kUntouched}}});
  const std::vector<at::Tensor> inputs{at::arange(4, at::kInt), at::ones({2}, at::kByte)};
  const auto outputs = program.forward_eval(inputs);
  CHECK(names(outputs) == std::vector<std::string>{"0", "1"});
  CHECK(outputs[0].tensor.equal(module.attr("w").toTensor()));
  CHECK((outputs[1].tensor.scalar_type() == at::kByte));
}

TEST_CASE("an optional argument is given or left out") {
  const torch::jit::Module module = own_loss();
  const std::vector<at::Tensor> inputs{at::ones({2}), at::ones({2})};
  Program with = program_of(module, {{"x", {}}, {"target", {1, 0, Kind::kUntouched}}});
  CHECK(names(with.forward_train(inputs, {1, 1})) == std::vector<std::string>{"y", "loss"});
  Program without = program_of(module, {{"x", {}}});
  CHECK(names(without.forward_eval(std::span(inputs).first(1))) == std::vector<std::string>{"y"});
}

TEST_CASE("gradients flow through a loss of the model's own") {
  const torch::jit::Module module = own_loss();
  Program program = program_of(module, {{"x", {}}, {"target", {1, 0, Kind::kUntouched}}});
  const at::Tensor w = module.attr("w").toTensor();
  program.forward_train(std::vector<at::Tensor>{at::ones({2}), at::ones({2})}, {1, 1})
      .at(1)
      .tensor.backward();
  CHECK(w.grad().item<float>() == doctest::Approx(2 * 8 * (w.item<float>() - 1)));
}

TEST_CASE("dropout draws for each of several inputs") {
  const torch::jit::Module module = ModuleBuilder().define(R"(
def forward(self, a, b):
    return torch.dropout(a, 0.5, self.training) + torch.dropout(b, 0.5, self.training) * 10
)");
  Program program = program_of(module, {{"a", {}}, {"b", {}}});
  const std::vector<at::Tensor> inputs{at::ones({200}), at::ones({200})};
  const at::Tensor first = program.forward_train(inputs, {1, 1})[0].tensor;
  CHECK(first.equal(program.forward_train(inputs, {1, 1})[0].tensor));
  CHECK_FALSE(first.equal(program.forward_train(inputs, {1, 2})[0].tensor));
  CHECK((first.eq(2).any() & first.eq(20).any()).item<bool>());
}

TEST_CASE("arguments are listed with what they take") {
  const std::vector<ForwardArgument> arguments = forward_arguments(own_loss());
  REQUIRE(arguments.size() == 3);
  CHECK(arguments[0].name == "x");
  CHECK((arguments[0].takes_tensor && !arguments[0].has_default));
  CHECK((arguments[1].takes_tensor && arguments[1].has_default));
  CHECK((!arguments[2].takes_tensor && arguments[2].has_default));
}

TEST_CASE("inputs that do not fit the arguments are refused by name") {
  CHECK(refusal(difference(), {{"left", {}}, {"other", {}}}).find("'other'") != std::string::npos);
  CHECK(refusal(difference(), {{"left", {}}, {"left", {}}}).find("twice") != std::string::npos);
  CHECK(refusal(own_loss(), {{"x", {}}, {"scale", {}}}).find("'scale'") != std::string::npos);
}

TEST_CASE("what forward returns is refused unless it is made of tensors") {
  for (const char* body : {"return 3", "return [1, 2]", "return (x, 1)", "return {\"n\": 1}", "pass"}) {
    CAPTURE(body);
    const torch::jit::Module module =
        ModuleBuilder().define(std::string("def forward(self, x):\n    ") + body + "\n");
    CHECK(refusal(module, {{"x", {}}}).find("forward returns") != std::string::npos);
  }
}

}  // namespace wasmgrad::training::lowering
