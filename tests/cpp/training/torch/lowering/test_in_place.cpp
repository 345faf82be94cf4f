// Writes in place, also through views, branches and loops, are seen by every user of a tensor.
#include <ATen/ops/ones.h>
#include <doctest/doctest.h>
#include <torch/csrc/jit/ir/irparser.h>

#include <string>
#include <unordered_map>

#include "reference.hpp"
#include "wasmgrad/training/torch/lowering/aliases.hpp"

namespace wasmgrad::training::lowering {
namespace {

/// A convolution, `body`, which changes y, and a sum over it.
torch::jit::Module changed_by(const std::string& body) {
  return ModuleBuilder()
      .parameter("w", {4, 3, 3, 3})
      .parameter("v", {4, 4, 3, 3})
      .define("\ndef forward(self, x):\n    y = torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n" + body +
              "    return torch.conv2d(y, self.v).flatten(1) + y.sum()\n");
}

struct Parsed {
  std::shared_ptr<torch::jit::Graph> graph = std::make_shared<torch::jit::Graph>();
  std::unordered_map<std::string, torch::jit::Value*> values;

  explicit Parsed(const std::string& text) { torch::jit::parseIR(text, graph.get(), values); }
  [[nodiscard]] bool written(const std::string& name) { return Aliases(*graph, {}).written(values.at(name)); }
};

}  // namespace

TEST_CASE("writes to a convolution's result reach all its users") {
  for (const char* body : {
           "    y[:, :2] = 0.0\n",
           "    y.mul_(0.5)\n",
           "    y = torch.relu_(y) + 0.0\n    y[:, 1:3] = 2.0\n",
           "    torch.relu_(y)\n",
           "    z = y.view(y.size(0), -1)\n    z[:, ::3] = 1.0\n",
           "    z = y.contiguous()\n    z.add_(1.0)\n",
           "    z = y.transpose(2, 3)\n    z[:, 0].fill_(3.0)\n",
           "    z = torch.dropout(y, 0.5, False)\n    z.mul_(2.0)\n",
           "    z = torch.dropout(y, 0.0, True)\n    z.mul_(2.0)\n",
           "    z = y.type_as(x)\n    z.mul_(2.0)\n",
           "    z, u = torch.broadcast_tensors([y, y])\n    y.mul_(2.0)\n    y = z + u\n",
           "    for i in range(3):\n        y.mul_(0.5)\n",
           "    for i in range(3):\n        torch.relu_(y)\n        y = y - 0.1\n",
           "    if bool(x.sum() < 1000000.0):\n        y[:, 0] = 1.0\n",
           "    z = y\n    if bool(x.sum() < 1000000.0):\n        z = y * 2.0\n    z[:, 0] = 1.0\n",
           "    parts = [y, y[:, 1:]]\n    parts[1].mul_(0.5)\n    parts[0].add_(1.0)\n",
           "    kept = {'y': y}\n    kept['y'].mul_(0.5)\n",
       }) {
    CAPTURE(body);
    CHECK(difference(changed_by(body), normals({5, 3, 7, 9})) < 2e-5);
  }
}

TEST_CASE("pooling and batch norm before a write and after one") {
  for (const char* body : {
           "    y[:, :2] = 0.0\n    y = torch.max_pool2d(torch.relu(y), [2, 2])\n",
           "    y = torch.max_pool2d(y, [3, 3], [1, 1], [1, 1])\n    y[:, 1] = 0.5\n",
           "    y = torch.batch_norm(y, None, None, self.m, self.s, self.training, 0.1, 1e-5, False)\n"
           "    y[:, 1] = 0.5\n",
       }) {
    CAPTURE(body);
    const auto module = ModuleBuilder()
                            .parameter("w", {4, 3, 3, 3})
                            .buffer("m", at::ones({4}))
                            .buffer("s", at::ones({4}))
                            .define(
                                "\ndef forward(self, x):\n"
                                "    y = torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n" +
                                std::string(body) + "    return y.flatten(1)\n");
    CHECK(difference(module, normals({5, 3, 7, 9})) < 2e-5);
  }
}

TEST_CASE("flattening before a write in front of dropout keeps the view") {
  const auto module = changed_by(
      "    z = y.flatten(1)\n    y.mul_(2.0)\n    z = torch.dropout(z, 0.0, self.training)\n"
      "    y = y + z.sum()\n");
  CHECK(difference(module, normals({5, 3, 7, 9})) < 2e-5);
}

TEST_CASE("statistics of the data are read before and after they are written") {
  const auto module = ModuleBuilder()
                          .parameter("g", {3})
                          .parameter("b", {3})
                          .parameter("w", {4, 3, 3, 3})
                          .buffer("m", at::ones({3}))
                          .buffer("s", at::ones({3}))
                          .define(R"(
def forward(self, x):
    before = self.m.sum()
    y = torch.batch_norm(x, self.g, self.b, self.m, self.s, self.training, 0.1, 1e-5, False)
    after = self.m.sum()
    return torch.conv2d(y, self.w).flatten(1) * (1.0 + before - 2.0 * after)
)");
  CHECK(difference(module, normals({5, 3, 7, 9})) < 5e-5);
}

TEST_CASE("the shape of an argument that forward changes is asked after the change") {
  const auto module = ModuleBuilder().parameter("w", {1}).define(R"(
def forward(self, x):
    x = x + 0.0
    x.unsqueeze_(1)
    return x * x.size(1) * self.w
)");
  CHECK(difference(module, normals({5, 3})) < 1e-6);
}

TEST_CASE("a write by the only user of a new tensor takes nothing from anybody") {
  Parsed parsed(R"IR(
graph(%x : Tensor, %w : Tensor, %one : int, %b : bool, %f : float):
  %none : NoneType = prim::Constant()
  %p : int[] = prim::ListConstruct(%one, %one)
  %y : Tensor = aten::conv2d(%x, %w, %none, %p, %p, %p, %one)
  %z : Tensor = aten::relu_(%y)
  %u : Tensor = aten::add_(%z, %w, %one)
  return (%u)
)IR");
  for (const char* name : {"x", "w", "y", "z", "u"}) CHECK_FALSE(parsed.written(name));
}

TEST_CASE("a write that another user can see is one for all that share the memory") {
  Parsed parsed(R"IR(
graph(%x : Tensor, %w : Tensor, %one : int):
  %y : Tensor = aten::relu(%x)
  %v : Tensor = aten::select(%y, %one, %one)
  %z : Tensor = aten::relu_(%v)
  %u : Tensor = aten::add(%y, %w, %one)
  return (%u)
)IR");
  for (const char* name : {"y", "v", "z"}) CHECK(parsed.written(name));
  for (const char* name : {"x", "w", "u"}) CHECK_FALSE(parsed.written(name));
}

}  // namespace wasmgrad::training::lowering
