#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <doctest/doctest.h>

#include <algorithm>

#include "reference.hpp"
#include "wasmgrad/training/torch/loop/state_guard.hpp"
#include "wasmgrad/training/torch/lowering/specialize.hpp"
#include "wasmgrad/training/torch/lowering/written_state.hpp"

namespace wasmgrad::training::lowering {

namespace {

/// What a forward over one input `x` may write to, of a module with a parameter `w` [2, 2] and buffers `a`
/// and `b` [2, 2].
struct Written {
  explicit Written(const std::string& body, bool training = true)
      : module(ModuleBuilder()
                   .parameter("w", {2, 2})
                   .buffer("a", at::zeros({2, 2}))
                   .buffer("b", at::zeros({2, 2}))
                   .define("def forward(self, x):\n" + body)),
        state(written_state(specialize(module, inputs, training), module)) {}

  [[nodiscard]] bool has(const char* name) const {
    const at::Tensor tensor = module.attr(name).toTensor();
    return std::ranges::any_of(state.tensors, [&](const at::Tensor& one) { return one.is_same(tensor); });
  }

  ProgramInput inputs[1] = {{"x", {}}};
  torch::jit::Module module;
  WrittenState state;
};

}  // namespace

TEST_CASE("only what is written to is listed") {
  const Written written("    self.a.add_(1)\n    return x @ self.w + self.a + self.b\n");
  CHECK(written.has("a"));
  CHECK_FALSE(written.has("b"));
  CHECK_FALSE(written.has("w"));
  CHECK(written.state.attributes.empty());
}

TEST_CASE("in-place operators on what a forward computes write to nothing of the module") {
  const Written written("    y = torch.linear(x, self.w)\n    y.relu_()\n    y += self.b\n    return y\n");
  CHECK(written.state.tensors.empty());
}

TEST_CASE("writes through views, loops, branches and lists are found") {
  for (const char* body : {
           "    self.a[0].add_(1)\n    return x @ self.w\n",
           "    self.a.t().view([2, 2]).select(0, 0).fill_(2.0)\n    return x @ self.w\n",
           "    for i in range(2):\n        self.a[i].add_(1)\n    return x @ self.w\n",
           "    if bool(x.sum() > 0):\n        y = self.a\n    else:\n        y = x\n    y.mul_(2)\n    "
           "return x @ self.w\n",
           "    y = [self.a, x]\n    y[0].add_(1)\n    return x @ self.w\n",
           "    torch.relu_(self.a)\n    return x @ self.w\n",
       }) {
    CAPTURE(std::string(body));
    CHECK(Written(body).has("a"));
  }
}

TEST_CASE("running statistics are written where they are not fixed") {
  const char* body =
      "    return torch.batch_norm(x, None, None, self.a[0], self.b[0], self.training, 0.1, 1e-5, False) @ "
      "self.w\n";
  CHECK(Written(body).has("a"));
  CHECK(Written(body).has("b"));
  CHECK(Written(body, /*training=*/false).state.tensors.empty());
}

TEST_CASE("a guard puts back tensors and assigned attributes, unless it is kept") {
  torch::jit::Module module("m");
  module.register_attribute("training", c10::BoolType::get(), true);
  module.register_attribute("calls", c10::IntType::get(), 0);
  module.register_attribute("seen", c10::ListType::ofInts(), c10::List<std::int64_t>());
  module.register_buffer("a", at::zeros({2}));
  module.define(R"(
def forward(self, x):
    self.calls = self.calls + 1
    self.seen.append(self.calls)
    self.a.add_(1)
    self.a = self.a + 10
    return x
)");
  const ProgramInput inputs[] = {{"x", {}}};
  Program program = Program::lower(module, inputs).value();
  const at::Tensor x = at::ones({1});
  const at::Tensor first = module.attr("a").toTensor();
  const auto expect = [&](std::int64_t calls, float value) {
    CHECK(module.attr("calls").toInt() == calls);
    CHECK(module.attr("seen").toIntList().size() == static_cast<std::size_t>(calls));
    CHECK(module.attr("a").toTensor()[0].item<float>() == value);
  };
  {
    const StateGuard guard(program.written());
    program.forward_train({&x, 1}, {0, 0});
    expect(1, 11);
  }
  expect(0, 0);
  CHECK(module.attr("a").toTensor().is_same(first));
  {
    StateGuard guard(program.written());
    program.forward_train({&x, 1}, {0, 0});
    guard.keep();
  }
  expect(1, 11);
  program.forward_eval({&x, 1});
  expect(1, 11);
}

}  // namespace wasmgrad::training::lowering
