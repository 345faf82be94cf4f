#include <ATen/Parallel.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>

#include "reference.hpp"

namespace wasmgrad::training::lowering {
namespace {

torch::jit::Module scaled_dropout(const std::string& rate) {
  return ModuleBuilder().parameter("w", {1}).define(
      "def forward(self, x):\n    return torch.dropout(x * self.w, " + rate + ", self.training)\n");
}

torch::jit::Module conv_flatten_dropout() {
  return ModuleBuilder().parameter("w", {5, 1, 3, 3}).define(R"(
def forward(self, x):
    return torch.dropout(torch.flatten(torch.conv2d(x, self.w), 1), 0.25, self.training)
)");
}

}  // namespace

TEST_CASE("elements are dropped or scaled, and the gradient follows the same mask") {
  const auto module = scaled_dropout("0.25");
  SingleProgram program = lower(module);
  const at::Tensor w = module.attr("w").toTensor();
  const at::Tensor x = normals({37, 11});
  const at::Tensor y = program.forward_train(x, {3, 4});
  const at::Tensor kept = y.detach().ne(0);
  CHECK(y.detach().allclose(at::where(kept, x * w.detach() / 0.75, 0.0), 1e-6));
  y.sum().backward();
  CHECK(w.grad().item<float>() ==
        doctest::Approx(at::where(kept, x / 0.75, 0.0).sum().item<float>()).epsilon(1e-4));
}

TEST_CASE("evaluation, and a rate of 0, change nothing") {
  const at::Tensor x = normals({5, 3});
  const auto module = scaled_dropout("0.0");
  const at::Tensor expected = x * module.attr("w").toTensor().detach();
  CHECK(lower(scaled_dropout("0.5")).forward_eval(x).equal(expected));
  CHECK(lower(module).forward_train(x, {1, 1}).detach().equal(expected));
}

TEST_CASE("a rate of 1 leaves nothing") {
  CHECK(
      lower(scaled_dropout("1.0")).forward_train(normals({4, 50}), {1, 1}).detach().eq(0).all().item<bool>());
}

TEST_CASE("equal seed and step give equal bits for any thread count; another step does not") {
  SingleProgram program = lower(scaled_dropout("0.5"));
  const at::Tensor x = at::ones({64, 1000});
  at::set_num_threads(1);
  const at::Tensor one = program.forward_train(x, {7, 9}).detach();
  at::set_num_threads(2);
  CHECK(program.forward_train(x, {7, 9}).detach().equal(one));
  CHECK_FALSE(program.forward_train(x, {7, 10}).detach().equal(one));
}

TEST_CASE("two dropouts of one program draw different masks") {
  const auto module = ModuleBuilder().define(R"(
def forward(self, x):
    return torch.dropout(x, 0.5, self.training) - torch.dropout(x, 0.5, self.training)
)");
  CHECK(lower(module).forward_train(at::ones({1000}), {1, 1}).abs().sum().item<float>() > 0);
}

TEST_CASE("random operators that are left repeat with seed and step") {
  const auto module = ModuleBuilder().define(R"(
def forward(self, x):
    return torch.alpha_dropout(x, 0.5, self.training)
)");
  SingleProgram program = lower(module);
  const at::Tensor x = normals({100});
  const at::Tensor first = program.forward_train(x, {1, 2});
  program.forward_train(x, {1, 3});
  CHECK(program.forward_train(x, {1, 2}).equal(first));
}

TEST_CASE("dropout that flattens a channels-last image keeps values, order and gradient") {
  const auto module = conv_flatten_dropout();
  REQUIRE(has_operator(module, "wasmgrad::flatten_dropout"));
  for (const std::int64_t n : {1, 7, 96, 128}) {
    CAPTURE(n);
    const at::Tensor w = module.attr("w").toTensor();
    const at::Tensor x = normals({n, 1, 9, 8});
    SingleProgram program = lower(module);
    const at::Tensor plain = program.forward_eval(x);
    const at::Tensor y = program.forward_train(x, {3, 4});
    const at::Tensor factor = at::where(y.detach().ne(0), 1 / 0.75, 0.0).to(at::kFloat);
    CHECK(y.detach().allclose(plain * factor, 1e-6));
    w.mutable_grad().reset();
    y.sum().backward();
    const at::Tensor found = w.grad().clone();

    torch::jit::Module same = copy_of(module);
    same.eval();
    (same.forward({x}).toTensor() * factor).sum().backward();
    CHECK(found.allclose(same.attr("w").toTensor().grad(), 1e-4, 1e-4));
  }
}

}  // namespace wasmgrad::training::lowering
