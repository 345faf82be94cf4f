#include "reference.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <vector>

#include "wasmgrad/training/torch/lowering/passes.hpp"
#include "wasmgrad/training/torch/lowering/specialize.hpp"

namespace wasmgrad::training::lowering {
namespace {

void seed(std::uint64_t value) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(value);
}

double relative(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor reference = expected.to(at::kDouble);
  const double scale = std::max(reference.abs().max().item<double>(), 1e-6);
  return (found.to(at::kDouble) - reference).abs().max().item<double>() / scale;
}

/// A loss whose gradient differs in every output element.
at::Tensor loss_of(const at::Tensor& output) { return (output * at::cos(output.detach() * 3 + 1)).sum(); }

struct Results {
  at::Tensor output;
  std::vector<at::Tensor> gradients;
};

Results step(const torch::jit::Module& module, const at::Tensor& output) {
  loss_of(output).backward();
  Results results{output.detach(), {}};
  for (const at::Tensor& parameter : module.parameters()) {
    results.gradients.push_back(parameter.grad());
    parameter.mutable_grad().reset();
  }
  return results;
}

}  // namespace

ModuleBuilder::ModuleBuilder() : module_("m") {
  seed(1);
  module_.register_attribute("training", c10::BoolType::get(), true);
}

ModuleBuilder& ModuleBuilder::parameter(const std::string& name, std::initializer_list<std::int64_t> sizes) {
  const at::Tensor value = at::rand(sizes) - 0.5;
  module_.register_parameter(name, torch::autograd::make_variable(value, /*requires_grad=*/true), false);
  return *this;
}

ModuleBuilder& ModuleBuilder::buffer(const std::string& name, const at::Tensor& value) {
  module_.register_buffer(name, torch::autograd::make_variable(value.clone()));
  return *this;
}

torch::jit::Module ModuleBuilder::define(const std::string& source) {
  module_.define(source);
  return module_;
}

at::Tensor pixels(std::initializer_list<std::int64_t> sizes) {
  seed(2);
  return at::randint(0, 256, sizes, at::kByte);
}

at::Tensor normals(std::initializer_list<std::int64_t> sizes) {
  seed(2);
  return at::randn(sizes);
}

SingleProgram lower(const torch::jit::Module& module, InputTransform transform, Rewriting rewriting) {
  const ProgramInput input{forward_arguments(module).at(0).name, transform};
  auto program = Program::lower(module, {&input, 1}, {}, false, {}, rewriting);
  REQUIRE_MESSAGE(program.has_value(), (program ? "" : program.error().message));
  return SingleProgram{std::move(program).value()};
}

torch::jit::Module copy_of(const torch::jit::Module& module) {
  const at::NoGradGuard no_grad;  // else the copies would be results of the originals
  torch::jit::Module copy = module.deepcopy();
  for (const at::Tensor& parameter : copy.parameters()) parameter.requires_grad_(true);
  return copy;
}

double difference(const torch::jit::Module& module, const at::Tensor& batch, InputTransform transform,
                  Rewriting rewriting) {
  torch::jit::getExecutorMode() = false;
  torch::jit::Module original = copy_of(module);
  SingleProgram program = lower(module, transform, rewriting);
  const at::Tensor x = batch.to(at::kFloat) * transform.scale + transform.offset;

  const Results expected = step(original, original.forward({x}).toTensor());
  const Results found = step(module, program.forward_train(batch, {1, 1}));
  double worst = relative(found.output, expected.output);
  REQUIRE(found.gradients.size() == expected.gradients.size());
  for (std::size_t i = 0; i < found.gradients.size(); ++i) {
    REQUIRE(found.gradients[i].defined() == expected.gradients[i].defined());
    if (!found.gradients[i].defined()) continue;
    REQUIRE(found.gradients[i].sizes() == expected.gradients[i].sizes());
    worst = std::max(worst, relative(found.gradients[i], expected.gradients[i]));
  }
  auto theirs = original.buffers().begin();
  for (const at::Tensor& ours : module.buffers()) worst = std::max(worst, relative(ours, *theirs)), ++theirs;

  original.eval();
  const at::NoGradGuard no_grad;
  return std::max(worst, relative(program.forward_eval(batch), original.forward({x}).toTensor()));
}

bool has_operator(const torch::jit::Module& module, const std::string& name, Rewriting rewriting) {
  const ProgramInput input{forward_arguments(module).at(0).name, {}};
  Specialized specialized = specialize(module, {&input, 1}, true);
  torch::jit::Graph& graph = *specialized.graph;
  lower(module);  // registers the operators
  apply_passes(graph, {&input, 1}, specialized.captured, rewriting);
  return graph.toString(false).find(name + "(") != std::string::npos;
}

}  // namespace wasmgrad::training::lowering
