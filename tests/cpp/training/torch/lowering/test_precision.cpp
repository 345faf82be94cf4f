// Products in bfloat16 beside the same in f32.
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <doctest/doctest.h>

#include "reference.hpp"

namespace wasmgrad::training::lowering {
namespace {

constexpr Rewriting kNarrow{.bf16 = true};
/// Relative to the largest element: 2^-8 a rounding, a handful of them on the way.
constexpr double kRounding = 0.04;

ModuleBuilder parts() {
  ModuleBuilder builder;
  builder.parameter("w", {8, 3, 3, 3})
      .parameter("v", {8, 8, 1, 1})
      .parameter("b", {8})
      .parameter("l", {5, 8})
      .parameter("p", {8, 8})
      .parameter("g", {8})
      .buffer("m", at::zeros({8}))
      .buffer("s", at::ones({8}));
  return builder;
}

torch::jit::Module net(const std::string& body) {
  return parts().define(
      "def forward(self, x):\n    y = torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])\n    " + body +
      "\n    return torch.linear(y.mean([2, 3]), self.l)\n");
}

}  // namespace

TEST_CASE("nets in bfloat16 are those in f32 but for rounding") {
  for (const char* body : {
           "y = torch.relu(y)",
           "y = torch.max_pool2d(torch.relu(y), [2, 2])",
           "y = torch.relu(torch.conv2d(y, self.v, None, [2, 2])) ",
           "y = y + torch.conv2d(y, self.v, self.b)",
           "y = torch.batch_norm(torch.conv2d(torch.relu(y), self.v), self.g, None, self.m, self.s, "
           "self.training, 0.1, 1e-5, True)\n"
           "    y = torch.relu(y + torch.conv2d(y, self.v))",
           "y = torch.cat([y, torch.tanh(y)], 1)[:, 4:12]",
           "y = torch.softmax(torch.matmul(y.flatten(2).transpose(1, 2), self.p), -1).transpose(1, "
           "2).unsqueeze(3)",
           "y = torch.layer_norm(y.permute(0, 2, 3, 1), [8]).permute(0, 3, 1, 2)",
           "y = torch.gelu(y, approximate='none') * 0.5",
           "if bool(x.sum() > -1e9):\n        y = torch.relu(torch.conv2d(y, self.v))",
           "for i in range(2):\n        y = torch.conv2d(y, self.v)",
       }) {
    CAPTURE(std::string(body));
    REQUIRE(has_operator(net(body), "wasmgrad::to_bf16", kNarrow));
    CHECK(difference(net(body), normals({6, 3, 8, 6}), {}, kNarrow) < kRounding);
    CHECK(difference(net(body), normals({6, 3, 8, 6}), {}, {.for_speed = false, .bf16 = true}) < kRounding);
  }
}

TEST_CASE("writes in place reach all users in bfloat16 as well") {
  for (const char* body : {
           "y.mul_(0.5)",
           "y[:, :2] = 0.0",
           "z = y\n    torch.relu_(y)\n    y = y + z",
           "z = y.view(y.size(0), -1)\n    z[:, ::3] = 1.0",
           "u = y + 0.0\n    for i in range(3):\n        u.mul_(0.5)\n    y = u",
       }) {
    CAPTURE(std::string(body));
    CHECK(difference(net(body), normals({6, 3, 8, 6}), {}, kNarrow) < kRounding);
  }
}

TEST_CASE("evaluation is in f32, and what forward returns is f32") {
  const auto module = parts().define("def forward(self, x):\n    return torch.conv2d(x, self.w, self.b)\n");
  const at::Tensor x = normals({4, 3, 6, 6});
  CHECK(lower(module, {}, kNarrow).forward_eval(x).equal(lower(module).forward_eval(x)));
  const at::Tensor y = lower(module, {}, kNarrow).forward_train(x, {1, 1});
  CHECK((y.scalar_type() == at::kFloat));
  CHECK_FALSE(y.equal(lower(module).forward_train(x, {1, 1})));
}

TEST_CASE("products of integers stay exact") {
  const auto module = ModuleBuilder().parameter("w", {4, 4}).define(R"(
def forward(self, x):
    i = torch.arange(1000, 1016).view(4, 4)
    return torch.matmul(x, self.w) * 0.0 + torch.matmul(i, i).to(6) * self.w
)");
  CHECK(difference(module, normals({4, 4}), {}, kNarrow) < 1e-6);
}

}  // namespace wasmgrad::training::lowering
