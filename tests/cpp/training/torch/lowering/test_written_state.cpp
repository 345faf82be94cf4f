#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

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

TEST_CASE(
    "writes to what may be an argument itself are found, whether its operator's schema says so or not") {
  for (const char* same : {
           "torch.dropout(self.a, 0.5, False)",
           "torch.dropout(self.a, 0.0, True)",
           "torch.dropout(self.a, 0.5, self.training and bool(x.sum() > 1e9))",
           "torch.feature_dropout(self.a, 0.5, False)",
           "torch.alpha_dropout(self.a, 0.5, False)",
           "torch.feature_alpha_dropout(self.a, 0.5, False)",
           "self.a.contiguous()",
           "self.a.to(6)",
           "self.a.to(x)",
           "self.a.float()",
           "self.a.cpu()",
           "self.a.type_as(x)",
           "self.a.reshape([2, 2])",
           "self.a.reshape_as(x)",
           "self.a.view_as(x)",
           "self.a.expand([2, 2])",
           "self.a.expand_as(x)",
           "self.a.flatten()",
           "self.a.ravel()",
           "self.a.squeeze()",
           "self.a.detach()",
           "self.a.requires_grad_(False)",
           "self.a.positive()",
           "self.a.resolve_conj()",
           "self.a.sum_to_size([2, 2])",
           "torch.atleast_1d(self.a)",
           "torch.atleast_2d([self.a, x])[0]",
           "torch.broadcast_tensors([self.a, x])[0]",
           "torch.cartesian_prod([self.a.flatten()])",
           "torch.einsum('ij->ji', [self.a])",
           "torch.einsum('ij->ji', [torch.atleast_2d(torch.dropout(self.a, 0.5, False))])",
           "torch.chunk(self.a, 2)[0]",
           "torch.tensor_split(self.a, 2)[0]",
           "torch.dropout(self.a, 0.5, False) if bool(x.sum() > -1e9) else x",
       }) {
    CAPTURE(std::string(same));
    const Written written("    y = " + std::string(same) +
                          "\n    y.add_(1)\n    return x @ self.w + self.b + y.sum()\n");
    torch::jit::Module module = written.module;
    module.forward({at::ones({2, 2})});
    CHECK(module.attr("a").toTensor().sum().item<float>() > 0);  // so that torch agrees
    CHECK(written.has("a"));
    CHECK_FALSE(written.has("b"));
    CHECK_FALSE(written.has("w"));
  }
}

TEST_CASE("a write that TorchScript's compiler leaves out of the program is none") {
  const Written written("    torch.dropout(self.a, 0.5, False).add_(1)\n    return x @ self.w\n");
  torch::jit::Module module = written.module;
  module.forward({at::ones({2, 2})});
  CHECK(module.attr("a").toTensor().sum().item<float>() == 0);
  CHECK(written.state.tensors.empty());
}

TEST_CASE("a write to the result of a layer is none to its parameters") {
  for (const char* layer : {"x * (2 if self.w.is_floating_point() else 1)",
                            "torch.conv1d(x, self.w.unsqueeze(2))", "torch.linear(x, self.w)",
                            "torch.lstm(x.view([2, 1, 2]), [torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)], "
                            "[self.w.repeat([4, 1]), self.w.repeat([4, 1])], False, 1, 0.0, True, False, "
                            "False)[0]",
                            "torch.layer_norm(x, [2], self.w[0], self.w[1])"}) {
    CAPTURE(std::string(layer));
    CHECK(Written("    y = " + std::string(layer) + "\n    y.add_(1)\n    return y\n").state.tensors.empty());
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
