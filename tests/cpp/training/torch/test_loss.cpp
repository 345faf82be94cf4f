#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "wasmgrad/training/torch/loop/loss.hpp"

using namespace wasmgrad::training;

namespace {

using Autograd = std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>;

struct Reference {
  const char* what;
  LossKind kind;
  TrainerOptions options;
  at::Tensor output, targets;
  Autograd loss;  ///< by torch
};

at::Tensor numbers(at::IntArrayRef shape, double scale) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return at::sin(at::arange(count, at::kFloat) * 1.7).mul(scale).reshape(shape);
}

TrainerOptions with(const std::function<void(TrainerOptions&)>& change) {
  TrainerOptions options;
  change(options);
  return options;
}

at::Tensor labels(at::IntArrayRef shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return at::arange(count, at::kLong).mul(7).remainder(4).reshape(shape);
}

Autograd cross_entropy(const at::Tensor& weights, std::int64_t ignored, double smoothing) {
  return [=](const at::Tensor& x, const at::Tensor& y) {
    return at::cross_entropy_loss(x, y, weights, at::Reduction::Mean, ignored, smoothing);
  };
}

Autograd of_logarithms(const at::Tensor& weights, std::int64_t ignored, bool given) {
  return [=](const at::Tensor& x, const at::Tensor& y) {
    return at::nll_loss_nd(given ? x : x.log(), y, weights, at::Reduction::Mean, ignored);
  };
}

std::vector<Reference> classifications() {
  const at::Tensor weights = at::tensor({0.5F, 2.0F, 0.0F, 1.25F});
  const TrainerOptions weighted = with([](TrainerOptions& o) { o.class_weights = {0.5, 2, 0, 1.25}; });
  const TrainerOptions ignoring = with([](TrainerOptions& o) { o.ignore_index = 2; });
  const TrainerOptions outside = with([](TrainerOptions& o) { o.ignore_index = -1; });
  const TrainerOptions all = with([](TrainerOptions& o) {
    o.class_weights = {0.5, 2, 0, 1.25};
    o.ignore_index = 3;
    o.label_smoothing = 0.2;
  });
  const at::Tensor flat = numbers({7, 4}, 5), pictures = numbers({3, 4, 2, 5}, 4),
                   lines = numbers({3, 4, 6}, 4);
  const at::Tensor some = at::where(labels({7}) == 1, -1, labels({7}));
  const at::Tensor soft = at::softmax(numbers({7, 4}, 2), 1), maps = at::softmax(numbers({3, 4, 2, 5}, 2), 1);
  const auto logits = LossKind::kCrossEntropyLogits;
  constexpr std::int64_t kNone = -100;
  return {
      {"plain", logits, {}, flat, labels({7}), cross_entropy({}, kNone, 0)},
      {"weights", logits, weighted, flat, labels({7}), cross_entropy(weights, kNone, 0)},
      {"a class is ignored", logits, ignoring, flat, labels({7}), cross_entropy({}, 2, 0)},
      {"torch's own index is ignored",
       logits,
       {},
       flat,
       at::where(labels({7}) == 1, -100, labels({7})),
       cross_entropy({}, kNone, 0)},
      {"probabilities, a class is ignored", LossKind::kCrossEntropy, ignoring, at::softmax(flat, 1),
       labels({7}), of_logarithms({}, 2, false)},
      {"what is no class is ignored", logits, outside, flat, some, cross_entropy({}, -1, 0)},
      {"all settings", logits, all, flat, labels({7}), cross_entropy(weights, 3, 0.2)},
      {"pictures", logits, {}, pictures, labels({3, 2, 5}), cross_entropy({}, kNone, 0)},
      {"pictures, all settings", logits, all, pictures, labels({3, 2, 5}), cross_entropy(weights, 3, 0.2)},
      {"sequences", logits, weighted, lines, labels({3, 6}), cross_entropy(weights, kNone, 0)},
      {"soft targets", logits, {}, flat, soft, cross_entropy({}, kNone, 0)},
      {"soft targets beside an ignored index", logits, ignoring, flat, soft, cross_entropy({}, kNone, 0)},
      {"soft targets, smoothed", logits, with([](TrainerOptions& o) { o.label_smoothing = 0.1; }), flat, soft,
       cross_entropy({}, kNone, 0.1)},
      {"soft targets, weighted", logits, weighted, pictures, maps, cross_entropy(weights, kNone, 0)},
      {"nll", LossKind::kNLL, {}, at::log_softmax(flat, 1), labels({7}), of_logarithms({}, kNone, true)},
      {"nll, all settings", LossKind::kNLL, all, at::log_softmax(pictures, 1), labels({3, 2, 5}),
       of_logarithms(weights, 3, true)},
      {"probabilities",
       LossKind::kCrossEntropy,
       {},
       at::softmax(flat, 1),
       labels({7}),
       of_logarithms({}, kNone, false)},
      {"probabilities of pictures", LossKind::kCrossEntropy, weighted, at::softmax(pictures, 1),
       labels({3, 2, 5}), of_logarithms(weights, kNone, false)},
  };
}

at::Tensor focal(const at::Tensor& x, const at::Tensor& y, double gamma, double alpha) {
  // Element by element, as the paper has it: -alpha_t (1 - p_t)^gamma log(p_t).
  at::Tensor sum = at::zeros({});
  const at::Tensor logits = x.reshape({-1}), targets = y.reshape({-1});
  for (std::int64_t i = 0; i < logits.numel(); ++i) {
    const at::Tensor p = 1 / (1 + at::exp(-logits[i])), t = targets[i];
    const at::Tensor entropy = -(t * p.log() + (1 - t) * (1 - p).log());
    sum = sum + (alpha * t + (1 - alpha) * (1 - t)) * (1 - p * t - (1 - p) * (1 - t)).pow(gamma) * entropy;
  }
  return sum / logits.numel();
}

std::vector<Reference> regressions() {
  const at::Tensor values = numbers({7, 3}, 2), other = at::cos(values * 3) * 2;
  const at::Tensor chances = at::sigmoid(other), parts = at::softmax(other, 1);
  const auto bce = [](const at::Tensor& weight) {
    return [=](const at::Tensor& x, const at::Tensor& y) {
      return at::binary_cross_entropy_with_logits(x, y, {}, weight);
    };
  };
  return {
      {"mse",
       LossKind::kMSE,
       {},
       values,
       other,
       [](const at::Tensor& x, const at::Tensor& y) { return at::mse_loss(x, y); }},
      {"l1",
       LossKind::kL1,
       {},
       values,
       other,
       [](const at::Tensor& x, const at::Tensor& y) { return at::l1_loss(x, y); }},
      {"huber",
       LossKind::kHuber,
       {},
       values,
       other,
       [](const at::Tensor& x, const at::Tensor& y) { return at::huber_loss(x, y); }},
      {"huber, delta", LossKind::kHuber, with([](TrainerOptions& o) { o.huber_delta = 0.3; }), values, other,
       [](const at::Tensor& x, const at::Tensor& y) {
         return at::huber_loss(x, y, at::Reduction::Mean, 0.3);
       }},
      {"bce", LossKind::kBCEWithLogits, {}, values, chances, bce({})},
      {"bce, weighted", LossKind::kBCEWithLogits, with([](TrainerOptions& o) { o.pos_weight = {3, 0.5, 1}; }),
       values, chances, bce(at::tensor({3.0F, 0.5F, 1.0F}))},
      {"bce, one weight", LossKind::kBCEWithLogits, with([](TrainerOptions& o) { o.pos_weight = {3}; }),
       values, chances, bce(at::tensor({3.0F}))},
      {"kl",
       LossKind::kKLDiv,
       {},
       at::log_softmax(values, 1),
       parts,
       [](const at::Tensor& x, const at::Tensor& y) { return (y * (y.log() - x)).sum() / 7; }},
      {"cosine",
       LossKind::kCosine,
       {},
       values,
       other,
       [](const at::Tensor& x, const at::Tensor& y) {
         return (1 - (x * y).sum(1) / (x.norm(2, 1) * y.norm(2, 1))).mean();
       }},
      {"focal",
       LossKind::kFocal,
       {},
       values,
       chances.round(),
       [](const at::Tensor& x, const at::Tensor& y) { return focal(x, y, 2, 0.25); }},
      {"focal, other settings", LossKind::kFocal, with([](TrainerOptions& o) {
         o.focal_gamma = 1.5;
         o.focal_alpha = 0.7;
       }),
       values, chances, [](const at::Tensor& x, const at::Tensor& y) { return focal(x, y, 1.5, 0.7); }},
  };
}

std::vector<Reference> references() {
  std::vector<Reference> all = classifications();
  for (Reference& reference : regressions()) all.push_back(std::move(reference));
  return all;
}

wasmgrad::Status judged(LossKind kind, const TrainerOptions& options, const at::Tensor& output,
                        const at::Tensor& targets) {
  const Loss loss(kind, options);
  const at::Tensor form = loss.target_form(output, targets);
  WASMGRAD_CHECK(loss.check(output, form));
  return loss.check_labels(output, form);
}

}  // namespace

TEST_CASE("losses and their gradients are those of PyTorch's autograd") {
  for (const Reference& reference : references()) {
    INFO(reference.what);
    const Loss loss(reference.kind, reference.options);
    const at::Tensor targets = loss.target_form(reference.output, reference.targets);
    CHECK(loss.check(reference.output, targets).ok());
    const at::Tensor output = reference.output.clone().set_requires_grad(true);
    const at::Tensor expected = reference.loss(output, reference.targets);
    torch::autograd::backward({expected});
    const LossAndGradient result = loss.value_and_gradient(reference.output, targets);
    CHECK(result.loss == doctest::Approx(expected.item<double>()).epsilon(1e-5));
    CHECK(at::allclose(result.gradient, output.grad(), 1e-4, 1e-6));
    CHECK(loss.value(reference.output, targets) == result.loss);
  }
}

TEST_CASE("a batch in which no target counts has no loss and no gradient") {
  TrainerOptions options;
  options.ignore_index = -1;
  for (const LossKind kind : {LossKind::kCrossEntropyLogits, LossKind::kNLL, LossKind::kCrossEntropy}) {
    const Loss loss(kind, options);
    const LossAndGradient result =
        loss.value_and_gradient(at::softmax(numbers({3, 4}, 1), 1), at::full({3}, -1, at::kLong));
    CHECK(result.loss == 0);
    CHECK((result.gradient == 0).all().item<bool>());
  }
}

TEST_CASE("a probability of zero gives a large but finite loss") {
  for (const bool weighted : {false, true}) {
    TrainerOptions options;
    if (weighted) options.class_weights = {1, 1};
    const at::Tensor output = at::tensor({0.0F, 1.0F}).reshape({1, 2});
    const LossAndGradient result =
        Loss(LossKind::kCrossEntropy, options).value_and_gradient(output, at::zeros({1}, at::kLong));
    CHECK(result.loss == doctest::Approx(-std::log(kLeastProbability)));
    CHECK(result.gradient.isfinite().all().item<bool>());
  }
}

TEST_CASE("what is not a number stays visible in the loss") {
  for (const Reference& reference : references()) {
    INFO(reference.what);
    const Loss loss(reference.kind, reference.options);
    const at::Tensor output = at::full_like(reference.output, std::numeric_limits<float>::quiet_NaN());
    CHECK(std::isnan(loss.value(output, loss.target_form(output, reference.targets))));
  }
}

TEST_CASE("an output that does not fit its targets is answered with both shapes") {
  const auto message = [](LossKind kind, const at::Tensor& output, const at::Tensor& targets) {
    return judged(kind, {}, output, targets).error().message;
  };
  const auto logits = LossKind::kCrossEntropyLogits;
  CHECK(message(logits, at::zeros({4, 3, 1}), at::zeros({4}, at::kLong)) ==
        "the model's output has shape [4, 3, 1] for targets of shape [4]; cross_entropy needs [4, classes]");
  CHECK(message(logits, at::zeros({4, 3}), at::zeros({4, 5}, at::kLong)).find("needs [4, classes, 5]") !=
        std::string::npos);
  CHECK(message(LossKind::kMSE, at::zeros({4, 1}), at::zeros({4})) ==
        "the model's output has shape [4, 1] for targets of shape [4]; mse needs the targets' shape");
  CHECK(message(LossKind::kCosine, at::zeros({4, 2, 2}), at::zeros({4, 2, 2})).find("needs one vector") !=
        std::string::npos);
  CHECK(judged(logits, {}, at::zeros({4, 3}), at::zeros({4, 1}, at::kInt)).ok());
}

TEST_CASE("a label beyond this output's classes is refused before memory is read by it") {
  for (const LossKind kind : {LossKind::kCrossEntropyLogits, LossKind::kCrossEntropy, LossKind::kNLL}) {
    for (const std::int64_t label : {std::int64_t{3}, std::int64_t{-1}, std::int64_t{1} << 62}) {
      const auto flat = judged(kind, {}, at::zeros({2, 3}), at::full({2}, label, at::kLong));
      REQUIRE_FALSE(flat);
      CHECK(flat.error().message.find("class " + std::to_string(label) + ";") != std::string::npos);
      CHECK_FALSE(judged(kind, {}, at::zeros({2, 3, 4}), at::full({2, 4}, label, at::kLong)));
    }
  }
}

TEST_CASE("as many weights as the output has classes are needed") {
  TrainerOptions options;
  options.class_weights = {1, 2};
  options.pos_weight = {1, 2};
  const auto classes =
      judged(LossKind::kCrossEntropyLogits, options, at::zeros({4, 3}), at::zeros({4}, at::kLong));
  CHECK(classes.error().message == "class_weights has 2 numbers; the model's output has 3 classes");
  const auto chances = judged(LossKind::kBCEWithLogits, options, at::zeros({4, 3}), at::zeros({4, 3}));
  CHECK(chances.error().message.find("pos_weight has 2 numbers; the model's output has 3") !=
        std::string::npos);
  CHECK(judged(LossKind::kMSE, options, at::zeros({4, 3}), at::zeros({4, 3})).ok());
}

TEST_CASE("an output of whole numbers has no loss") {
  CHECK_FALSE(
      judged(LossKind::kCrossEntropyLogits, {}, at::zeros({4, 3}, at::kLong), at::zeros({4}, at::kLong)));
}
