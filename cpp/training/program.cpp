// Lowers `forward` once per mode and runs the result on TorchScript's interpreter, without the profiling
// executor: that one rewrites graphs after some runs, and a resumed run would not repeat an uninterrupted one
// bit by bit.
#include "wasmgrad/training/program.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <mutex>
#include <utility>
#include <vector>

#include "wasmgrad/training/kernels/operators.hpp"
#include "wasmgrad/training/lowering/graph_edit.hpp"
#include "wasmgrad/training/lowering/passes.hpp"
#include "wasmgrad/training/lowering/specialize.hpp"
#include "wasmgrad/training/philox.hpp"

namespace wasmgrad::training {
namespace {

/// True when an operator that is left draws from PyTorch's global generator.
bool draws_from_generator(torch::jit::Block* block) {
  for (torch::jit::Node* node : block->nodes()) {
    if (node->isNondeterministic()) return true;
    for (torch::jit::Block* inner : node->blocks())
      if (draws_from_generator(inner)) return true;
  }
  return false;
}

void seed_generator(StepRandom random) {
  const PhiloxCounter words = philox4x32_10({static_cast<std::uint32_t>(random.step),
                                             static_cast<std::uint32_t>(random.step >> 32U), 0xFFFFFFFFU, 0},
                                            philox_key(random.seed));
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::scoped_lock lock(generator.mutex());
  generator.set_current_seed(std::uint64_t{words[1]} << 32U | words[0]);
}

}  // namespace

/// One mode's executable form.
struct Program::Mode {
  torch::jit::Code code;
  std::vector<c10::IValue> captured;
  bool needs_generator;

  static std::shared_ptr<const Mode> lower(const torch::jit::Module& module, InputTransform transform,
                                           bool training) {
    lowering::Specialized specialized = lowering::specialize(module, training);
    torch::jit::Graph& graph = *specialized.graph;
    lowering::apply_passes(graph, transform.scale, transform.offset);
    torch::jit::EliminateDeadCode(specialized.graph);
    graph.lint();
    return std::make_shared<const Mode>(Mode{torch::jit::Code(specialized.graph, "forward"),
                                             std::move(specialized.captured),
                                             draws_from_generator(graph.block())});
  }

  [[nodiscard]] at::Tensor run(const at::Tensor& batch, StepRandom random) const {
    if (needs_generator) seed_generator(random);
    torch::jit::Stack stack;
    stack.reserve(captured.size() + 3);
    stack.emplace_back(batch);
    stack.emplace_back(static_cast<std::int64_t>(random.seed));
    stack.emplace_back(static_cast<std::int64_t>(random.step));
    stack.insert(stack.end(), captured.begin(), captured.end());
    torch::jit::InterpreterState(code).run(stack);
    TORCH_CHECK(stack.size() == 1 && stack[0].isTensor(), "the model's forward returned a ",
                stack.empty() ? "nothing" : stack[0].tagKind(), ", expected one tensor");
    return std::move(stack[0]).toTensor();
  }
};

Expected<Program> Program::lower(const torch::jit::Module& module, InputTransform transform) {
  try {
    kernels::register_operators();
    return Program(Mode::lower(module, transform, true), Mode::lower(module, transform, false));
  } catch (const c10::Error& error) {
    return Error{Errc::kInvalidArgument, std::string("model: ") + error.what_without_backtrace()};
  } catch (const std::exception& error) {
    return Error{Errc::kUnsupportedOperation,
                 std::string("model: forward cannot be prepared: ") + error.what()};
  }
}

at::Tensor Program::forward_train(const at::Tensor& batch, StepRandom random) {
  return training_->run(batch, random);
}

at::Tensor Program::forward_eval(const at::Tensor& batch) {
  const at::NoGradGuard no_grad;
  return evaluation_->run(batch, {0, 0});
}

}  // namespace wasmgrad::training
