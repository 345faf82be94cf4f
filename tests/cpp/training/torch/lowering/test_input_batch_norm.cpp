#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <doctest/doctest.h>

#include "reference.hpp"

namespace wasmgrad::training::lowering {
namespace {

constexpr auto kFused = "wasmgrad::input_norm_conv2d";

torch::jit::Module norm_conv(std::int64_t channels, const std::string& conv,
                             const std::string& momentum = "0.1") {
  return ModuleBuilder()
      .parameter("gamma", {channels})
      .parameter("beta", {channels})
      .buffer("mean", at::zeros({channels}))
      .buffer("var", at::ones({channels}))
      .parameter("w", {4, channels, 3, 3})
      .parameter("b", {4})
      .define(
          "def forward(self, x):\n"
          "    x = torch.batch_norm(x, self.gamma, self.beta, self.mean, self.var, self.training, " +
          momentum + ", 1e-05, True)\n    return " + conv + "\n");
}

}  // namespace

TEST_CASE("one channel of bytes: output, gradients and running statistics as PyTorch's") {
  for (const std::int64_t n : {1, 7, 96, 128}) {
    CAPTURE(n);
    const auto module = norm_conv(1, "torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])");
    REQUIRE(has_operator(module, kFused));
    CHECK(difference(module, pixels({n, 1, 9, 8}), {1 / 255.0, 0}) < 2e-5);
  }
}

TEST_CASE("one channel of bytes with an offset") {
  CHECK(difference(norm_conv(1, "torch.conv2d(x, self.w, self.b, [1, 1], [1, 1])"), pixels({7, 1, 9, 8}),
                   {1 / 127.5, -1}) < 2e-5);
}

TEST_CASE("several channels, strides, paddings, dilations and no bias") {
  for (const char* conv :
       {"torch.conv2d(x, self.w, self.b)", "torch.conv2d(x, self.w, self.b, [2, 1], [0, 2], [1, 1])",
        "torch.conv2d(x, self.w, self.b, [1, 1], [2, 2], [2, 2])",
        "torch.conv2d(x, self.w, None, [1, 1], [1, 1]) + self.b.sum()"}) {
    for (const std::int64_t channels : {1, 3}) {
      CAPTURE(std::string(conv));
      CAPTURE(channels);
      const auto module = norm_conv(channels, conv);
      REQUIRE(has_operator(module, kFused));
      CHECK(difference(module, normals({5, channels, 11, 10})) < 2e-5);
    }
  }
}

TEST_CASE("patterns it does not cover are left to PyTorch and stay right") {
  SUBCASE("normalised image used twice") {
    const auto module = norm_conv(3, "torch.conv2d(x, self.w, self.b, [1, 1], [1, 1]) + x.sum()");
    CHECK_FALSE(has_operator(module, kFused));
    CHECK(difference(module, normals({5, 3, 6, 6})) < 2e-5);
  }
  SUBCASE("something between the two") {
    const auto module = norm_conv(3, "torch.conv2d(torch.relu(x), self.w, self.b)");
    CHECK_FALSE(has_operator(module, kFused));
    CHECK(difference(module, normals({5, 3, 6, 6})) < 2e-5);
  }
  SUBCASE("no running statistics") {
    const auto module =
        ModuleBuilder().parameter("g", {2}).parameter("b", {2}).parameter("w", {4, 2, 3, 3}).define(R"(
def forward(self, x):
    return torch.conv2d(torch.batch_norm(x, self.g, self.b, None, None, True, 0.1, 1e-05, True), self.w)
)");
    CHECK_FALSE(has_operator(module, kFused));
    CHECK(difference(module, normals({5, 2, 6, 6})) < 2e-5);
  }
  SUBCASE("no scale and shift") {
    const auto module = ModuleBuilder()
                            .buffer("m", at::zeros({2}))
                            .buffer("v", at::ones({2}))
                            .parameter("w", {4, 2, 3, 3})
                            .define(R"(
def forward(self, x):
    return torch.conv2d(torch.batch_norm(x, None, None, self.m, self.v, self.training, 0.1, 1e-05, True), self.w)
)");
    CHECK_FALSE(has_operator(module, kFused));
    CHECK(difference(module, normals({5, 2, 6, 6})) < 2e-5);
  }
}

}  // namespace wasmgrad::training::lowering
