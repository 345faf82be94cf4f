#include <ATen/ops/arange.h>
#include <doctest/doctest.h>

#include "reference.hpp"

namespace wasmgrad::training::lowering {
namespace {

torch::jit::Module identity() {
  return ModuleBuilder().define(R"(
def forward(self, x):
    return x * 1.0
)");
}

}  // namespace

TEST_CASE("bytes are scaled to the nearest float of the exact quotient") {
  const at::Tensor bytes = at::arange(256, at::kByte);
  CHECK(lower(identity(), {1 / 255.0, 0}).forward_eval(bytes).equal(bytes.to(at::kFloat).div(255)));
}

TEST_CASE("every element type is converted, scaled and shifted") {
  for (const at::ScalarType type : {at::kByte, at::kHalf, at::kFloat, at::kInt, at::kLong}) {
    const at::Tensor batch = at::arange(12, at::kLong).view({3, 4}).to(type);
    const at::Tensor x = lower(identity(), {0.5, -1}).forward_eval(batch);
    CHECK((x.scalar_type() == at::kFloat));
    CHECK(x.equal(at::arange(12, at::kFloat).view({3, 4}) * 0.5 - 1));
  }
}

}  // namespace wasmgrad::training::lowering
