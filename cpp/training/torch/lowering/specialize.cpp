// Attribute reads become graph inputs (tensors) or constants (the rest), unless the program may assign to
// them.
#include "wasmgrad/training/torch/lowering/specialize.hpp"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/peephole.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "wasmgrad/training/torch/loop/frozen.hpp"
#include "wasmgrad/training/torch/lowering/grad_mode.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/without_loss.hpp"

namespace wasmgrad::training::lowering {
namespace {

using ObjectPtr = c10::intrusive_ptr<c10::ivalue::Object>;

/// Walks the graph in execution order and resolves what it reads from the module tree.
class AttributeBinder {
 public:
  AttributeBinder(Graph& graph, bool training, const HeldParts& held, std::vector<c10::IValue>& captured)
      : graph_(graph), training_(training), held_(held), captured_(captured) {
    std::vector<Node*> writes;
    collect_nodes(graph.block(), c10::prim::SetAttr, writes);
    for (const Node* write : writes) assigned_.insert(write->s(c10::attr::name));
  }

  void bind(Value* self, const ObjectPtr& module) {
    objects_.emplace(self, module);
    bind_block(graph_.block());
    for (const char* kind : {"aten::batch_norm", "aten::instance_norm"})
      for (Node* norm : nodes_of_kind(graph_, kind)) hold_statistics(norm);
  }

 private:
  void bind_block(Block* block) {
    for (auto it = block->nodes().begin(); it != block->nodes().end();) {
      Node* node = *it++;
      for (Block* inner : node->blocks()) bind_block(inner);
      if (node->kind() == c10::prim::GetAttr) bind_read(node);
    }
  }

  void bind_read(Node* read) {
    const auto object = objects_.find(read->input());
    if (object == objects_.end()) return;
    const std::string& name = read->s(c10::attr::name);
    if (assigned_.count(name) != 0) return;
    const c10::IValue value = object->second->getAttr(name);
    if (value.isModule()) {
      objects_.emplace(read->output(), value.toObject());
    } else if (value.isTensor() && value.toTensor().defined()) {
      replace_node(read, input_for(object->second, name, value));
    } else if (name == "training" && value.isBool()) {
      const bool training = training_ && held_.flags.count(object->second.get()) == 0;
      replace_node(read, insert_constant_before(read, c10::IValue(training)));
    } else if (value.isNone() || value.isBool() || value.isInt() || value.isDouble() || value.isString() ||
               value.isEnum()) {
      replace_node(read, insert_constant_before(read, value));
    }
  }

  /// (input, weight, bias, running_mean, running_var, training, ...)
  void hold_statistics(Node* norm) {
    if (held_statistics_.count(norm->input(3)) != 0 || held_statistics_.count(norm->input(4)) != 0)
      norm->replaceInput(5, insert_constant_before(norm, false));
  }

  Value* input_for(const ObjectPtr& object, const std::string& name, const c10::IValue& value) {
    auto [known, added] = inputs_.try_emplace({object.get(), name}, nullptr);
    if (added) {
      known->second = graph_.addInput()->setType(c10::TensorType::get());
      captured_.push_back(value);
      if (is_running_statistic(name) && held_.statistics.count(object.get()) != 0)
        held_statistics_.insert(known->second);
    }
    return known->second;
  }

  Graph& graph_;
  bool training_;
  const HeldParts& held_;
  std::vector<c10::IValue>& captured_;
  std::set<std::string> assigned_;
  std::set<const Value*> held_statistics_;
  std::map<Value*, ObjectPtr> objects_;
  std::map<std::pair<const c10::ivalue::Object*, std::string>, Value*> inputs_;
};

std::size_t find_argument(const std::vector<ForwardArgument>& arguments, const std::string& name) {
  std::string known;
  for (std::size_t index = 0; index < arguments.size(); ++index) {
    if (arguments[index].name == name) return index;
    known += (index == 0 ? "'" : ", '") + arguments[index].name + "'";
  }
  TORCH_CHECK(false, "forward has no argument '", name, "'; it takes ", known.empty() ? "nothing" : known);
}

/// What became of the arguments of `forward`.
struct BoundArguments {
  bool optional = false;  ///< one that may be None is given
  /// Inputs of the graph still: neither given nor with a default.
  std::vector<Value*> missing;
  std::vector<std::string> missing_names;
};

/// Replaces the arguments of `forward` after self: those given by inputs in their order, the others by their
/// defaults.
BoundArguments bind_arguments(Graph& graph, const torch::jit::Module& module,
                              std::span<const ProgramInput> inputs) {
  const std::vector<ForwardArgument> arguments = forward_arguments(module);
  const c10::FunctionSchema& schema = module.get_method("forward").function().getSchema();
  std::vector<bool> given(arguments.size());
  BoundArguments bound;
  for (const ProgramInput& input : inputs) {
    const std::size_t index = find_argument(arguments, input.name);
    TORCH_CHECK(!given[index], "the argument '", input.name, "' of forward is given twice");
    const c10::TypePtr& type = schema.arguments()[index + 1].type();
    TORCH_CHECK(arguments[index].takes_tensor, "the argument '", input.name, "' of forward is of type ",
                type->str(), ", expected Tensor or Optional[Tensor]");
    given[index] = true;
    bound.optional |= type->kind() != c10::TypeKind::TensorType;
    Value* old = graph.inputs()[index + 1];
    old->replaceAllUsesWith(graph.addInput()->setType(c10::TensorType::get()));
  }
  for (std::size_t index = arguments.size(); index-- > 0;) {
    if (!given[index] && !arguments[index].has_default) {
      bound.missing.push_back(graph.inputs()[index + 1]);
      bound.missing_names.push_back(arguments[index].name);
      continue;
    }
    if (!given[index]) {
      graph.inputs()[index + 1]->replaceAllUsesWith(
          insert_constant_before(*graph.nodes().begin(), *schema.arguments()[index + 1].default_value()));
    }
    graph.eraseInput(index + 1);
  }
  return bound;
}

/// Erases the arguments that nobody gives, as targets are not given in a prediction. Throws when the outputs
/// need one.
void erase_missing(std::shared_ptr<Graph>& graph, const BoundArguments& bound) {
  if (bound.missing.empty()) return;
  const bool unneeded = cut_dependents(graph, bound.missing);
  for (std::size_t i = 0; i < bound.missing.size(); ++i) {
    TORCH_CHECK(unneeded || !bound.missing[i]->hasUses(), "the argument '", bound.missing_names[i],
                "' of forward is not given and has no default");
    graph->eraseInput(bound.missing[i]->offset());
  }
}

bool lacks_argument(const torch::jit::Module& module, std::span<const ProgramInput> inputs) {
  const std::vector<ForwardArgument> arguments = forward_arguments(module);
  return std::ranges::any_of(arguments, [&](const ForwardArgument& argument) {
    return !argument.has_default &&
           std::ranges::find(inputs, argument.name, &ProgramInput::name) == inputs.end();
  });
}

struct Prepared {
  Specialized result;
  BoundArguments bound;
};

/// Everything but what becomes of the missing arguments.
Prepared prepare(const torch::jit::Module& module, std::span<const ProgramInput> inputs, bool training,
                 const HeldParts& held, bool without_loss) {
  const torch::jit::Method forward = module.get_method("forward");
  Specialized result{forward.graph()->copy(), {}, false};
  Graph& graph = *result.graph;
  if (without_loss) result.without_loss = cut_loss(graph);
  torch::jit::Inline(graph);
  call_no_grad(graph);
  BoundArguments bound = bind_arguments(graph, module, inputs);
  AttributeBinder(graph, training, held, result.captured).bind(graph.inputs()[0], module._ivalue());
  name_identities(graph);

  torch::jit::EliminateDeadCode(result.graph);
  if (graph.inputs()[0]->hasUses()) {  // attributes that the program assigns are read from the module itself
    Value* self = graph.addInput()->setType(graph.inputs()[0]->type());
    graph.inputs()[0]->replaceAllUsesWith(self);
    result.captured.emplace_back(module._ivalue());
  }
  graph.eraseInput(0);
  if (bound.optional)  // "x is None" is answered, so that only what the model does with x is left
    torch::jit::PeepholeOptimize(result.graph, /*disable_shape_peepholes=*/true);
  torch::jit::ConstantPropagation(result.graph);
  name_identities(graph);  // whose mode was computed
  if (without_loss && !result.without_loss) result.without_loss = cut_loss(graph);
  return {std::move(result), std::move(bound)};
}

}  // namespace

Specialized specialize(const torch::jit::Module& module, std::span<const ProgramInput> inputs, bool training,
                       const HeldParts& held, bool without_loss) {
  auto [result, bound] =
      prepare(module, inputs, training, held, without_loss || lacks_argument(module, inputs));
  erase_missing(result.graph, bound);
  torch::jit::EliminateDeadCode(result.graph);
  torch::jit::ConstantPooling(result.graph);
  return std::move(result);
}

Specialized specialize_for_any(const torch::jit::Module& module) {
  return prepare(module, {}, /*training=*/true, {}, /*without_loss=*/false).result;
}

std::vector<std::string> loss_arguments(const torch::jit::Module& module) {
  const auto [result, bound] = prepare(module, {}, /*training=*/false, {}, /*without_loss=*/true);
  std::vector<std::string> names;
  for (std::size_t i = 0; result.without_loss && i < bound.missing.size(); ++i)
    if (!returns_need(result.graph, {bound.missing[i]->offset()})) names.push_back(bound.missing_names[i]);
  return names;
}

}  // namespace wasmgrad::training::lowering
