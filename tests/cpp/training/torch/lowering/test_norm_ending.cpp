// Batch norm that takes the sum and the clamp behind it over.
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <doctest/doctest.h>
#include <torch/csrc/jit/api/module.h>

#include "reference.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"
#include "wasmgrad/training/torch/lowering/specialize.hpp"

namespace wasmgrad::training::lowering {
namespace {

/// Two norms of convolutions, a and b, `body`, which makes y of them and of the convolutions' c, and a
/// convolution.
torch::jit::Module block(const std::string& body, std::int64_t channels = 8) {
  return ModuleBuilder()
      .parameter("g", {channels})
      .parameter("h", {channels})
      .buffer("m", at::zeros({channels}))
      .buffer("s", at::ones({channels}))
      .buffer("n", at::zeros({channels}))
      .buffer("t", at::ones({channels}))
      .parameter("w", {channels, 3, 3, 3})
      .parameter("v", {channels, 3, 1, 1})
      .parameter("l", {3, channels, 3, 3})
      .define(
          "def forward(self, x):\n"
          "    c = torch.conv2d(x, self.v)\n"
          "    a = torch.batch_norm(torch.conv2d(x, self.w, None, [1, 1], [1, 1]), self.g, self.h, self.m, "
          "self.s, "
          "self.training, 0.1, 1e-05, True)\n"
          "    b = torch.batch_norm(c, None, None, self.n, self.t, self.training, 0.2, 1e-03, True)\n    " +
          body + "\n    return torch.conv2d(y, self.l).flatten(1)\n");
}

}  // namespace

TEST_CASE("sums and clamps behind a norm are part of it, and are what they were") {
  for (const char* body : {
           "y = torch.relu(a) + c",
           "y = torch.relu(a + c)",
           "y = torch.relu(c + a)",
           "y = torch.relu_(a + b)",
           "a += b\n    y = torch.relu_(a)",
           "a += c\n    y = torch.relu6(a)",
           "y = torch.hardtanh(a, 0.0, 0.5) + torch.hardtanh_(b, 0., 6.)",
           "y = torch.relu(a + b.mean([2, 3], True))",
           "y = torch.relu(a + c.sum() * 0.01)",
       }) {
    for (const std::int64_t n : {2, 5}) {
      CAPTURE(std::string(body));
      CAPTURE(n);
      CHECK_FALSE(has_operator(block(body), "aten::relu"));
      CHECK_FALSE(has_operator(block(body), "aten::relu_"));
      CHECK(difference(block(body), normals({n, 3, 7, 9})) < 3e-5);
    }
  }
}

TEST_CASE("channels that fill no vector, and rows that fill no block") {
  for (const std::int64_t channels : {1, 3, 17})
    for (const std::int64_t n : {1, 3}) {
      CAPTURE(channels);
      CAPTURE(n);
      CHECK(difference(block("y = torch.relu(a + b)", channels), normals({n, 3, 5, 7})) < 3e-5);
    }
}

TEST_CASE("what somebody else sees, or what is no such sum or clamp, stays") {
  for (const char* body : {
           "y = torch.relu(a) + a",
           "z = a + c\n    y = torch.relu(z) * z",
           "y = torch.relu(torch.add(a, c, alpha=2))",
           "y = torch.relu(torch.add(c, a, alpha=2))",
           "y = torch.hardtanh(a, -0.5, 0.5)",
           "c += a\n    y = torch.relu(c)",
           "y = torch.relu(a + 0.5)",
           "y = torch.relu(a + a)",
           "c.mul_(2.0)\n    y = torch.relu(a + c)",
       }) {
    CAPTURE(std::string(body));
    CHECK(difference(block(body), normals({5, 3, 7, 9})) < 3e-5);
  }
}

TEST_CASE("a clamp lets no gradient through at its ends") {
  at::Tensor batch = normals({4, 3, 6, 5});
  batch[1].fill_(0);
  CHECK(difference(block("y = torch.relu6(a)"), batch) < 3e-5);
  CHECK(difference(block("y = torch.hardtanh(a, 0.0, 0.25)"), batch) < 3e-5);
}

}  // namespace wasmgrad::training::lowering
