// A model behaves alike in both formats: the same outputs, and the same weights and buffers after training.
#include <ATen/Context.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <doctest/doctest.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "files.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/model/program.hpp"

namespace wasmgrad::training::pt2 {
namespace {

using Tensors = std::vector<at::Tensor>;

TorchModel load(std::span<const std::byte> bytes) {
  auto model = TorchModel::load(bytes, "m", kMaxBytes);
  REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
  return std::move(model).value();
}

Program lower(const TorchModel& model, InputTransform::Kind kind, const HeldParts& held = {}) {
  std::vector<ProgramInput> inputs;
  for (const ForwardArgument& argument : forward_arguments(model.storage().module))
    inputs.push_back({argument.name, {1, 0, kind}});
  auto program = Program::lower(model.storage().module, inputs, held);
  REQUIRE_MESSAGE(program.has_value(), (program ? "" : program.error().message));
  return std::move(program).value();
}

/// Steps of plain gradient descent on the first output (a loss, or scores of at least four classes), then the
/// state.
std::map<std::string, at::Tensor> train(const TorchModel& model, const Tensors& inputs,
                                        const at::Tensor& classes, int steps = 3,
                                        InputTransform::Kind kind = InputTransform::Kind::kUntouched,
                                        const HeldParts& held = {}) {
  Program program = lower(model, kind, held);
  const auto parameters = model.storage().trainable();
  for (int step = 0; step < steps; ++step) {
    const at::Tensor output =
        program.forward_train(inputs, {5, static_cast<std::uint64_t>(step)}).at(0).tensor;
    (output.dim() == 0 ? output : at::cross_entropy_loss(output, classes)).backward();
    const at::NoGradGuard no_grad;
    for (const NamedTensor& entry : parameters) {
      if (entry.tensor.grad().defined()) entry.tensor.sub_(entry.tensor.grad(), 0.05);
      entry.tensor.mutable_grad().reset();
    }
  }
  std::map<std::string, at::Tensor> state;
  for (const NamedTensor& entry : model.storage().tensors())
    state[entry.name] = entry.tensor.detach().clone();
  return state;
}

void check_equal(const std::map<std::string, at::Tensor>& found,
                 const std::map<std::string, at::Tensor>& expected) {
  REQUIRE(found.size() == expected.size());
  for (const auto& [name, tensor] : expected) {
    CAPTURE(name);
    REQUIRE(found.count(name) == 1);
    CHECK(found.at(name).equal(tensor));
  }
}

void check_alike(const std::string& pt, const std::string& pt2, const Tensors& inputs) {
  CAPTURE(pt2);
  at::manual_seed(3);
  const at::Tensor classes = at::randint(0, 4, {inputs[0].size(0)}, at::kLong);
  const TorchModel scripted = load(read_file(pt));
  const TorchModel exported = load(read_file(pt2));
  const auto kind = InputTransform::Kind::kUntouched;
  const auto expected = lower(scripted, kind).forward_eval(inputs);
  const auto found = lower(exported, kind).forward_eval(inputs);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].name == expected[i].name);
    CHECK(found[i].tensor.equal(expected[i].tensor));
  }
  check_equal(train(exported, inputs, classes), train(scripted, inputs, classes));
}

at::Tensor normals(at::IntArrayRef sizes) {
  at::manual_seed(2);
  return at::randn(sizes);
}

}  // namespace

TEST_CASE("a program computes and trains as TorchScript does, to the bit") {
  check_alike("mnist-cnn.pt", "mnist-cnn.pt2", {normals({5, 1, 28, 28})});
  check_alike("lenet-5.pt", "lenet-5.pt2", {normals({5, 1, 28, 28})});
  check_alike("mlp.pt", "mlp.pt2", {normals({5, 1, 28, 28})});
  check_alike("resnet-18.pt", "resnet-18.pt2", {normals({6, 3, 32, 32})});
}

TEST_CASE("tied weights, a loss of the model's own, and statistics without batch norm train alike too") {
  check_alike("tied.pt", "tied.pt2", {normals({10, 4})});
  at::manual_seed(4);
  check_alike("own-loss.pt", "own-loss.pt2",
              {normals({6, 3, 4}), at::randint(0, 2, {6}, at::TensorOptions(at::kLong))});
}

TEST_CASE("a prediction needs no targets of the model's own loss, and has no loss") {
  const TorchModel model = load(read_file("own-loss.pt2"));
  const std::vector<ProgramInput> x{{"x", {1, 0, InputTransform::Kind::kUntouched}}};
  auto without = Program::lower(model.storage().module, x);
  REQUIRE_MESSAGE(without.has_value(), (without ? "" : without.error().message));
  at::manual_seed(4);
  const Tensors inputs{normals({6, 3, 4}), at::randint(0, 2, {6}, at::TensorOptions(at::kLong))};
  const auto outputs = without->forward_eval(std::span(inputs).first(1));
  REQUIRE(outputs.size() == 1);
  CHECK(outputs[0].name == "out");
  const auto all = lower(model, InputTransform::Kind::kUntouched).forward_eval(inputs);
  CHECK(outputs[0].tensor.equal(all.at(1).tensor));

  const std::vector<ProgramInput> target{{"target", {1, 0, InputTransform::Kind::kUntouched}}};
  const auto nothing = Program::lower(model.storage().module, target);
  REQUIRE_FALSE(nothing.has_value());
  CHECK(nothing.error().message == "model: the argument 'x' of forward is not given and has no default");
}

TEST_CASE("several inputs, integers among them, reach the model by name") {
  at::manual_seed(4);
  const at::Tensor ids = at::randint(0, 10, {3, 5}, at::kLong);
  const Tensors inputs{ids, at::ones({3, 5})};
  const auto kind = InputTransform::Kind::kUntouched;
  const auto expected = lower(load(read_file("sequence.pt")), kind).forward_eval(inputs);
  const auto found = lower(load(read_file("sequence.pt2")), kind).forward_eval(inputs);
  REQUIRE(found.size() == 2);
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(found[i].tensor.allclose(expected[i].tensor, 1e-5, 1e-6));
}

TEST_CASE("attention dropout acts in training mode only") {
  at::manual_seed(4);
  const Tensors inputs{at::randint(0, 10, {3, 5}, at::kLong), at::ones({3, 5})};
  Program program = lower(load(read_file("sequence.pt2")), InputTransform::Kind::kUntouched);
  const auto output = [&](std::uint64_t step) { return program.forward_train(inputs, {1, step})[0].tensor; };
  CHECK(output(1).equal(output(1)));
  CHECK_FALSE(output(1).equal(output(2)));
  CHECK(program.forward_eval(inputs)[0].tensor.equal(program.forward_eval(inputs)[0].tensor));
}

TEST_CASE("a program exported in evaluation mode stays in it while it trains") {
  for (const std::string name : {"mnist-cnn", "resnet-18"}) {
    CAPTURE(name);
    const Tensors inputs{name == "mnist-cnn" ? normals({6, 1, 28, 28}) : normals({6, 3, 32, 32})};
    at::manual_seed(3);
    const at::Tensor classes = at::randint(0, 10, {6}, at::kLong);
    const TorchModel model = load(read_file(name + ".pt"));
    HeldParts held;
    for (const torch::jit::Module& part : model.storage().module.modules())
      held.flags.insert(part._ivalue().get());
    check_equal(train(load(read_file(name + "-eval.pt2")), inputs, classes),
                train(model, inputs, classes, 3, InputTransform::Kind::kUntouched, held));
  }
}

TEST_CASE("buffers change in training mode only, also through views") {
  const TorchModel model = load(read_file("counting.pt2"));
  Program program = lower(model, InputTransform::Kind::kFloat);
  const Tensors inputs{normals({4, 3})};
  const at::Tensor calls = model.storage().module.attr("calls").toTensor();
  program.forward_eval(inputs);
  CHECK(calls.sum().item<float>() == 0);
  const auto outputs = program.forward_train(inputs, {1, 1});
  CHECK(calls[0].item<float>() == 1);
  CHECK(outputs.at(1).tensor.equal(calls));
  CHECK(outputs.at(0).tensor.equal(load(read_file("counting.pt"))
                                       .storage()
                                       .module.forward({inputs[0]})
                                       .toTuple()
                                       ->elements()[0]
                                       .toTensor()));
}

TEST_CASE("parameters keep their names, their being frozen and being shared") {
  const TorchModel model = load(read_file("tied.pt2"));
  std::vector<std::string> names;
  for (const NamedTensor& entry : model.storage().trainable()) names.push_back(entry.name);
  CHECK(names == std::vector<std::string>{"first.weight", "first.bias", "second.bias"});
  CHECK(model.storage().tensors().size() == 4);
}

TEST_CASE("any batch size goes in") {
  Program program = lower(load(read_file("resnet-18.pt2")), InputTransform::Kind::kFloat);
  for (const std::int64_t batch : {1, 2, 7})
    CHECK(program.forward_eval(Tensors{normals({batch, 3, 32, 32})})[0].tensor.size(0) == batch);
}

TEST_CASE("a trained program is saved as TorchScript that loads and computes the same") {
  for (const char* name : {"resnet-18.pt2", "sequence.pt2", "counting.pt2", "own-loss.pt2", "tied.pt2"}) {
    CAPTURE(name);
    const TorchModel model = load(read_file(name));
    const auto saved = model.save();
    REQUIRE_MESSAGE(saved.has_value(), (saved ? "" : saved.error().message));
    const TorchModel again = load(*saved);
    std::map<std::string, at::Tensor> before;
    std::map<std::string, at::Tensor> after;
    for (const NamedTensor& entry : model.storage().tensors()) before[entry.name] = entry.tensor;
    for (const NamedTensor& entry : again.storage().tensors()) after[entry.name] = entry.tensor;
    check_equal(after, before);
  }
  const Tensors inputs{normals({6, 3, 32, 32})};
  const TorchModel model = load(read_file("resnet-18.pt2"));
  const at::Tensor classes = at::ones({6}, at::kLong);
  train(model, inputs, classes);
  const TorchModel again = load(*model.save());
  const auto kind = InputTransform::Kind::kUntouched;
  CHECK(lower(again, kind)
            .forward_eval(inputs)[0]
            .tensor.equal(lower(model, kind).forward_eval(inputs)[0].tensor));
  check_equal(train(again, inputs, classes), train(model, inputs, classes));  // in training mode too
}

TEST_CASE("names that TorchScript cannot carry come back from what was saved") {
  for (const char* name :
       {"name_with_quotes", "mode_as_parameter", "method_as_parameter", "name_with_control_characters"}) {
    CAPTURE(name);
    const TorchModel model = load(read_file("hostile/" + std::string(name) + ".pt2"));
    std::map<std::string, at::Tensor> before;
    std::map<std::string, at::Tensor> after;
    for (const NamedTensor& entry : model.storage().tensors()) before[entry.name] = entry.tensor;
    CHECK_FALSE(before.contains("0.bias"));
    const auto saved = model.save();
    REQUIRE_MESSAGE(saved.has_value(), (saved ? "" : saved.error().message));
    const TorchModel again = load(*saved);
    for (const NamedTensor& entry : again.storage().tensors()) after[entry.name] = entry.tensor;
    check_equal(after, before);
    CHECK(again.save().has_value());
  }
}

}  // namespace wasmgrad::training::pt2
