#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "wasmgrad/training/torch/loop/loss.hpp"

using namespace wasmgrad::training;

namespace {

struct Reference {
  LossKind kind;
  at::Tensor output, targets;
  std::function<at::Tensor(const at::Tensor&, const at::Tensor&)> loss;  ///< by torch, with autograd
};

at::Tensor numbers(at::IntArrayRef shape, double scale) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return at::sin(at::arange(count, at::kFloat) * 1.7).mul(scale).reshape(shape);
}

std::vector<Reference> references() {
  const at::Tensor classes = at::arange(7, at::kLong).remainder(4);
  const at::Tensor values = numbers({7, 3}, 2);
  const at::Tensor other = at::cos(values * 3) * 2;
  return {
      {LossKind::kCrossEntropyLogits, numbers({7, 4}, 5), classes,
       [](const at::Tensor& x, const at::Tensor& y) { return at::cross_entropy_loss(x, y); }},
      {LossKind::kCrossEntropy, at::softmax(numbers({7, 4}, 5), 1), classes,
       [](const at::Tensor& x, const at::Tensor& y) { return at::nll_loss(x.log(), y); }},
      {LossKind::kMSE, values, other,
       [](const at::Tensor& x, const at::Tensor& y) { return at::mse_loss(x, y); }},
      {LossKind::kL1, values, other,
       [](const at::Tensor& x, const at::Tensor& y) { return at::l1_loss(x, y); }},
      {LossKind::kHuber, values, other,
       [](const at::Tensor& x, const at::Tensor& y) { return at::huber_loss(x, y); }},
      {LossKind::kBCEWithLogits, values, at::sigmoid(other),
       [](const at::Tensor& x, const at::Tensor& y) { return at::binary_cross_entropy_with_logits(x, y); }},
  };
}

}  // namespace

TEST_CASE("losses and their gradients are those of PyTorch's autograd") {
  for (const Reference& reference : references()) {
    INFO(name_of(reference.kind));
    const at::Tensor output = reference.output.clone().set_requires_grad(true);
    const at::Tensor expected = reference.loss(output, reference.targets);
    torch::autograd::backward({expected});
    const LossAndGradient result = loss_and_gradient(reference.kind, reference.output, reference.targets);
    CHECK(result.loss == doctest::Approx(expected.item<double>()).epsilon(1e-6));
    CHECK(at::allclose(result.gradient, output.grad(), 1e-5, 1e-7));
    CHECK(loss_value(reference.kind, reference.output, reference.targets) == result.loss);
  }
}

TEST_CASE("a probability of zero gives a large but finite loss") {
  const at::Tensor output = at::tensor({0.0F, 1.0F}).reshape({1, 2});
  const LossAndGradient result =
      loss_and_gradient(LossKind::kCrossEntropy, output, at::zeros({1}, at::kLong));
  CHECK(result.loss == doctest::Approx(-std::log(kLeastProbability)));
  CHECK(result.gradient.isfinite().all().item<bool>());
}

TEST_CASE("what is not a number stays visible in the loss") {
  for (const Reference& reference : references()) {
    INFO(name_of(reference.kind));
    const at::Tensor output = at::full_like(reference.output, std::numeric_limits<float>::quiet_NaN());
    CHECK(std::isnan(loss_value(reference.kind, output, reference.targets)));
  }
}

TEST_CASE("an output that does not fit its targets is answered with both shapes") {
  const auto classes =
      check_output(LossKind::kCrossEntropyLogits, at::zeros({4, 3, 1}), at::zeros({4}, at::kLong));
  REQUIRE_FALSE(classes);
  CHECK(classes.error().message ==
        "the model's output has shape [4, 3, 1] for targets of shape [4]; cross_entropy needs [4, classes]");
  const auto values = check_output(LossKind::kMSE, at::zeros({4, 1}), at::zeros({4}));
  REQUIRE_FALSE(values);
  CHECK(values.error().message ==
        "the model's output has shape [4, 1] for targets of shape [4]; mse needs the targets' shape");
}

TEST_CASE("an output of whole numbers has no loss") {
  CHECK_FALSE(
      check_output(LossKind::kCrossEntropyLogits, at::zeros({4, 3}, at::kLong), at::zeros({4}, at::kLong)));
}
