// Lowers `forward` once per mode and runs the result on TorchScript's interpreter, without the profiling
// executor: that one rewrites graphs after some runs, and a resumed run would not repeat an uninterrupted one
// bit by bit.
#include "wasmgrad/training/torch/model/program.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "wasmgrad/training/data/philox.hpp"
#include "wasmgrad/training/torch/kernels/operators.hpp"
#include "wasmgrad/training/torch/loop/state_guard.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/low_rank.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"
#include "wasmgrad/training/torch/lowering/specialize.hpp"
#include "wasmgrad/training/torch/lowering/written_state.hpp"
#include "wasmgrad/training/torch/model/outputs.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

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

/// The names of what forward returns, or nothing where only the values tell: for dicts, lists and nested
/// ones. Throws when it returns something else than tensors.
std::vector<std::string> output_names(const c10::FunctionSchema& schema) {
  const c10::TypePtr type = schema.returns().at(0).type();
  const auto is_tensor = [](const c10::TypePtr& element) {
    return element->kind() == c10::TypeKind::TensorType;
  };
  if (is_tensor(type)) return {"0"};
  if (const auto tuple = type->cast<c10::TupleType>();
      tuple && !tuple->elements().empty() && std::ranges::all_of(tuple->elements(), is_tensor)) {
    std::vector<std::string> names;
    for (std::size_t index = 0; index < tuple->elements().size(); ++index)
      names.push_back(tuple->schema() ? tuple->schema()->arguments()[index].name() : std::to_string(index));
    return names;
  }
  TORCH_CHECK(holds_tensors(type), "forward returns ", type->str(),
              "; expected Tensors, alone or in tuples, lists and dicts with text keys");
  return {};
}

}  // namespace

/// One mode's executable form.
struct Program::Mode {
  torch::jit::Code code;
  std::vector<c10::IValue> captured;
  bool needs_generator;
  std::size_t inputs;
  std::vector<std::string> names;  ///< of the outputs; empty when their values tell
  lowering::WrittenState written;

  static std::shared_ptr<const Mode> lower(const torch::jit::Module& module,
                                           std::span<const ProgramInput> inputs, bool training,
                                           const HeldParts& held, bool without_loss,
                                           std::span<const Adapter> adapters, Rewriting rewriting) {
    std::vector<std::string> names = output_names(module.get_method("forward").function().getSchema());
    lowering::Specialized specialized = lowering::specialize(module, inputs, training, held, without_loss);
    lowering::add_branches(specialized, adapters);
    lowering::WrittenState written = lowering::written_state(specialized, module);
    if (specialized.without_loss) std::erase(names, "loss");
    torch::jit::Graph& graph = *specialized.graph;
    lowering::apply_passes(graph, inputs, specialized.captured, rewriting);
    torch::jit::EliminateDeadCode(specialized.graph);
    graph.lint();
    return std::make_shared<const Mode>(
        Mode{torch::jit::Code(specialized.graph, "forward"), std::move(specialized.captured),
             draws_from_generator(graph.block()), inputs.size(), std::move(names), std::move(written)});
  }

  [[nodiscard]] std::vector<NamedTensor> run(std::span<const at::Tensor> given, StepRandom random) const {
    TORCH_CHECK(given.size() == inputs, given.size(), " inputs are given, expected ", inputs);
    const c10::AutoGradMode unchanged(c10::GradMode::is_enabled());  // afterwards, also when a model fails
    if (needs_generator) seed_generator(random);
    torch::jit::Stack stack;
    stack.reserve(captured.size() + given.size() + 2);
    stack.insert(stack.end(), given.begin(), given.end());
    stack.emplace_back(static_cast<std::int64_t>(random.seed));
    stack.emplace_back(static_cast<std::int64_t>(random.step));
    stack.insert(stack.end(), captured.begin(), captured.end());
    torch::jit::InterpreterState(code).run(stack);
    return outputs(stack.at(0));
  }

 private:
  [[nodiscard]] std::vector<NamedTensor> outputs(const c10::IValue& value) const {
    auto found = outputs_of(value);
    TORCH_CHECK(found, found.error().message);
    // Without its loss, a named tuple is a plain one.
    for (std::size_t i = 0; i < names.size(); ++i) (*found).at(i).name = names[i];
    return std::move(found).value();
  }
};

std::vector<ForwardArgument> forward_arguments(const torch::jit::Module& module) {
  std::vector<ForwardArgument> arguments;
  for (const c10::Argument& argument : module.get_method("forward").function().getSchema().arguments()) {
    arguments.push_back({argument.name(), c10::TensorType::get()->isSubtypeOf(*argument.type()),
                         argument.default_value().has_value()});
  }
  arguments.erase(arguments.begin());  // self
  return arguments;
}

std::vector<std::string> loss_arguments(const torch::jit::Module& module) {
  try {
    return lowering::loss_arguments(module);
  } catch (const std::exception&) {
    return {};
  }
}

Expected<Program> Program::lower(const torch::jit::Module& module, std::span<const ProgramInput> inputs,
                                 const HeldParts& held, bool without_loss, std::span<const Adapter> adapters,
                                 Rewriting rewriting) {
  try {
    kernels::register_operators();
    const Rewriting evaluating{.for_speed = rewriting.for_speed};
    return Program(Mode::lower(module, inputs, true, held, without_loss, adapters, rewriting),
                   Mode::lower(module, inputs, false, held, without_loss, adapters, evaluating));
  } catch (const c10::Error&) {
    return current_refusal("model");
  } catch (const std::exception& error) {
    return Error{Errc::kUnsupportedOperation,
                 std::string("model: forward cannot be prepared: ") + error.what()};
  }
}

std::vector<NamedTensor> Program::forward_train(std::span<const at::Tensor> inputs, StepRandom random) {
  return training_->run(inputs, random);
}

std::vector<NamedTensor> Program::forward_eval(std::span<const at::Tensor> inputs) {
  const at::NoGradGuard no_grad;
  const StateGuard guard(evaluation_->written);
  std::vector<NamedTensor> outputs = evaluation_->run(inputs, {0, 0});
  for (NamedTensor& output : outputs)
    if (guard.covers(output.tensor)) output.tensor = output.tensor.clone();
  return outputs;
}

const lowering::WrittenState& Program::written() const { return training_->written; }

}  // namespace wasmgrad::training
