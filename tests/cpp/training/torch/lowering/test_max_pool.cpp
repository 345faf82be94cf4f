#include <doctest/doctest.h>

#include "reference.hpp"

namespace wasmgrad::training::lowering {
namespace {

torch::jit::Module conv_then(const std::string& rest) {
  return ModuleBuilder()
      .parameter("w", {6, 1, 3, 3})
      .parameter("b", {6})
      .define("def forward(self, x):\n    x = torch.conv2d(x, self.w, self.b)\n    return torch.flatten(" +
              rest + ", 1)\n");
}

constexpr auto kPool = "wasmgrad::max_pool2x2";

}  // namespace

TEST_CASE("2x2 pooling after a convolution, with and without ReLU, odd sizes included") {
  for (const char* rest :
       {"torch.max_pool2d(torch.relu(x), [2, 2], [2, 2], [0, 0], [1, 1], False)",
        "torch.max_pool2d(x, [2, 2], [2, 2])", "torch.max_pool2d(torch.relu(x), [2, 2])"}) {
    const auto module = conv_then(rest);
    CAPTURE(std::string(rest));
    REQUIRE(has_operator(module, kPool));
    for (const std::int64_t n : {1, 7, 96, 128}) CHECK(difference(module, normals({n, 1, 13, 12})) < 2e-5);
  }
}

TEST_CASE("other poolings are left to PyTorch") {
  for (const char* rest : {"torch.max_pool2d(x, [3, 3], [2, 2])", "torch.max_pool2d(x, [2, 2], [1, 1])",
                           "torch.max_pool2d(x, [2, 2], [2, 2], [1, 1])",
                           "torch.max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], True)"}) {
    const auto module = conv_then(rest);
    CAPTURE(std::string(rest));
    CHECK_FALSE(has_operator(module, kPool));
    CHECK(difference(module, normals({7, 1, 13, 12})) < 2e-5);
  }
}

TEST_CASE("a ReLU whose result has another use keeps its own place") {
  const auto module = conv_then("torch.max_pool2d(torch.relu(x), [2, 2]) + x.sum()");
  CHECK(difference(module, normals({7, 1, 13, 12})) < 2e-5);
}

}  // namespace wasmgrad::training::lowering
