#include <doctest/doctest.h>

#include "reference.hpp"

namespace wasmgrad::training::lowering {
namespace {

ModuleBuilder two_convolutions() {
  ModuleBuilder builder;
  builder.parameter("w1", {6, 1, 5, 5})
      .parameter("b1", {6})
      .parameter("w2", {16, 6, 3, 3})
      .parameter("b2", {16});
  return builder;
}

}  // namespace

TEST_CASE("a chain of convolutions keeps outputs and gradients") {
  const auto module = two_convolutions().define(R"(
def forward(self, x):
    x = torch.conv2d(x, self.w1, self.b1, [1, 1], [2, 2])
    x = torch.conv2d(torch.tanh(x), self.w2, self.b2)
    return torch.flatten(x, 1)
)");
  for (const std::int64_t n : {1, 7, 96, 128}) {
    CAPTURE(n);
    CHECK(difference(module, normals({n, 1, 9, 11})) < 2e-5);
  }
}

TEST_CASE("a strided 1x1 convolution of eight channels trains on odd batches") {
  const auto module = ModuleBuilder().parameter("w1", {8, 3, 3, 3}).parameter("w2", {16, 8, 1, 1}).define(R"(
def forward(self, x):
    x = torch.relu(torch.conv2d(x, self.w1, None, [1, 1], [1, 1]))
    return torch.conv2d(x, self.w2, None, [2, 2])
)");
  CHECK(difference(module, normals({5, 3, 32, 32})) < 2e-5);
}

TEST_CASE("strided convolutions without padding, of any kernel, group and size") {
  for (const char* conv :
       {"torch.conv2d(x, self.w1, self.b, [2, 2])", "torch.conv2d(x, self.w1, None, [3, 1])",
        "torch.conv2d(x, self.w1, self.b, [2, 2], [0, 0], [2, 2])",
        "torch.conv2d(x, self.w3, self.b, [2, 2])", "torch.conv2d(x, self.w3, None, [3, 2])",
        "torch.conv2d(x, self.g1, self.b, [2, 2], [0, 0], [1, 1], 2)"}) {
    for (const std::int64_t n : {1, 4, 7}) {
      CAPTURE(std::string(conv));
      CAPTURE(n);
      const auto module =
          ModuleBuilder()
              .parameter("w0", {8, 3, 3, 3})
              .parameter("w1", {6, 8, 1, 1})
              .parameter("w3", {6, 8, 3, 3})
              .parameter("g1", {6, 4, 1, 1})
              .parameter("b", {6})
              .define(std::string("def forward(self, x):\n"
                                  "    x = torch.relu(torch.conv2d(x, self.w0, None, [1, 1], [1, 1]))\n"
                                  "    return ") +
                      conv + "\n");
      REQUIRE(has_operator(module, "wasmgrad::strided_conv2d"));
      CHECK(difference(module, normals({n, 3, 11, 8})) < 2e-5);
    }
  }
}

TEST_CASE("what lies between convolutions stays channels-last: sums, products, lists that are put together") {
  for (const char* body :
       {"z = y + u", "z = y - u * 0.5", "z = y * torch.sigmoid(u.mean([2, 3], True))",
        "z = torch.cat([y, u, y], 1)[:, :4]", "z = torch.cat([y, u], 1).narrow(1, 2, 4)",
        "z = torch.div(y, u.abs() + 1.0)", "y += u\n    z = torch.relu_(y)",
        "u += y\n    z = torch.clamp(u, -0.5, 0.5)",
        "z = torch.constant_pad_nd(y, [1, 0, 0, 1], 0.25) + self.b.view(1, 4, 1, 1)",
        "z = torch.upsample_nearest2d(y + u, [9, 12])",
        "z = torch.conv_transpose2d(y, self.t, None, [2, 2]) + y.sum()",
        "z = torch.hardswish(y) + torch.relu6(u)", "z = y + torch.ones([1, 4, 1, u.size(3)])"}) {
    CAPTURE(std::string(body));
    const auto module = ModuleBuilder()
                            .parameter("w", {4, 3, 3, 3})
                            .parameter("v", {4, 3, 1, 1})
                            .parameter("l", {2, 4, 3, 3})
                            .parameter("t", {4, 4, 2, 2})
                            .parameter("b", {4})
                            .define(std::string("def forward(self, x):\n"
                                                "    y = torch.conv2d(x, self.w, None, [1, 1], [1, 1])\n"
                                                "    u = torch.conv2d(x, self.v)\n    ") +
                                    body + "\n    return torch.conv2d(z, self.l).flatten(1)\n");
    CHECK(difference(module, normals({5, 3, 7, 9})) < 3e-5);
  }
}

TEST_CASE("without rewrites PyTorch's operators run, with the same results") {
  const auto module = two_convolutions().define(R"(
def forward(self, x):
    x = torch.max_pool2d(torch.relu(torch.conv2d(x, self.w1, self.b1)), [2, 2])
    return torch.flatten(torch.conv2d(x, self.w2, self.b2), 1)
)");
  const Rewriting none{.for_speed = false};
  CHECK(has_operator(module, "wasmgrad::max_pool2x2"));
  CHECK_FALSE(has_operator(module, "wasmgrad::max_pool2x2", none));
  CHECK_FALSE(has_operator(module, "wasmgrad::channels_last", none));
  CHECK(difference(module, normals({7, 1, 12, 14}), {}, none) == 0);
}

TEST_CASE("operators that depend on strides see row-major tensors") {
  const auto module = two_convolutions().define(R"(
def forward(self, x):
    x = torch.conv2d(x, self.w1, self.b1)
    a = x.view(x.size(0), -1).cumsum(1)
    x = torch.relu(torch.conv2d(x, self.w2, self.b2))
    return torch.cat([x.view(x.size(0), -1), a], 1)
)");
  CHECK(difference(module, normals({7, 1, 10, 9})) < 2e-5);
}

TEST_CASE("what forward returns is row-major") {
  const auto module = two_convolutions().define(R"(
def forward(self, x):
    return torch.conv2d(torch.conv2d(x, self.w1, self.b1), self.w2, self.b2)
)");
  CHECK(lower(module).forward_eval(normals({3, 1, 12, 12})).is_contiguous());
}

TEST_CASE("convolutions inside branches and loops") {
  const auto module = ModuleBuilder().parameter("w", {3, 3, 3, 3}).define(R"(
def forward(self, x):
    for i in range(3):
        if bool(x.sum() > 1000000.0):
            x = x.view(-1, 3, 6, 6)
        else:
            x = torch.conv2d(x, self.w, None, [1, 1], [1, 1])
    return x
)");
  CHECK(difference(module, normals({5, 3, 6, 6})) < 2e-5);
}

}  // namespace wasmgrad::training::lowering
