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
