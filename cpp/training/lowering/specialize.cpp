// Attribute reads become graph inputs (tensors) or constants (the rest), unless the program may assign to
// them.
#include "wasmgrad/training/lowering/specialize.hpp"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/peephole.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "wasmgrad/training/frozen.hpp"
#include "wasmgrad/training/lowering/graph_edit.hpp"

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
    } else if (value.isNone() || value.isBool() || value.isInt() || value.isDouble() || value.isString()) {
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
      known->second = graph_.addInput(name)->setType(c10::TensorType::get());
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

/// Takes the loss that a model computes itself out of the dict that it returns, and all that only the loss
/// needs. Returns whether there was one.
bool drop_loss(std::shared_ptr<Graph>& graph) {
  Node* dict = graph->outputs()[0]->node();
  if (dict->kind() != c10::prim::DictConstruct || dict->output()->uses().size() != 1) return false;
  for (std::size_t key = 0; key < dict->inputs().size(); key += 2) {
    const auto name = torch::jit::toIValue(dict->input(key));
    if (!name || !name->isString() || name->toStringRef() != "loss") continue;
    dict->removeInput(key + 1);
    dict->removeInput(key);
    torch::jit::EliminateDeadCode(graph);
    return true;
  }
  return false;
}

/// Replaces the arguments of `forward` after self: those given by inputs in their order, the others by their
/// defaults. What only the loss needs may be missing, as targets are in a prediction: the loss then is, too.
/// Returns whether an argument that may be None is given.
bool bind_arguments(std::shared_ptr<Graph>& shared, const torch::jit::Module& module,
                    std::span<const ProgramInput> inputs) {
  Graph& graph = *shared;
  const std::vector<ForwardArgument> arguments = forward_arguments(module);
  const c10::FunctionSchema& schema = module.get_method("forward").function().getSchema();
  std::vector<bool> given(arguments.size());
  bool optional = false;
  for (const ProgramInput& input : inputs) {
    const std::size_t index = find_argument(arguments, input.name);
    TORCH_CHECK(!given[index], "the argument '", input.name, "' of forward is given twice");
    const c10::TypePtr& type = schema.arguments()[index + 1].type();
    TORCH_CHECK(arguments[index].takes_tensor, "the argument '", input.name, "' of forward is of type ",
                type->str(), ", expected Tensor or Optional[Tensor]");
    given[index] = true;
    optional |= type->kind() != c10::TypeKind::TensorType;
    Value* old = graph.inputs()[index + 1];
    old->replaceAllUsesWith(graph.addInput(input.name)->setType(c10::TensorType::get()));
  }
  bool without_loss = false;
  for (std::size_t index = arguments.size(); index-- > 0;) {
    if (!given[index] && !arguments[index].has_default) {
      without_loss = without_loss || drop_loss(shared);
      TORCH_CHECK(without_loss && !graph.inputs()[index + 1]->hasUses(), "the argument '",
                  arguments[index].name, "' of forward is not given and has no default");
    } else if (!given[index]) {
      graph.inputs()[index + 1]->replaceAllUsesWith(
          insert_constant_before(*graph.nodes().begin(), *schema.arguments()[index + 1].default_value()));
    }
    graph.eraseInput(index + 1);
  }
  return optional;
}

}  // namespace

Specialized specialize(const torch::jit::Module& module, std::span<const ProgramInput> inputs, bool training,
                       const HeldParts& held) {
  const torch::jit::Method forward = module.get_method("forward");
  Specialized result{forward.graph()->copy(), {}};
  Graph& graph = *result.graph;
  torch::jit::Inline(graph);
  const bool optional = bind_arguments(result.graph, module, inputs);
  AttributeBinder(graph, training, held, result.captured).bind(graph.inputs()[0], module._ivalue());
  name_identities(graph);

  torch::jit::EliminateDeadCode(result.graph);
  if (graph.inputs()[0]->hasUses()) {  // attributes that the program assigns are read from the module itself
    Value* self = graph.addInput("self")->setType(graph.inputs()[0]->type());
    graph.inputs()[0]->replaceAllUsesWith(self);
    result.captured.emplace_back(module._ivalue());
  }
  graph.eraseInput(0);
  if (optional)  // "x is None" is answered, so that only what the model does with x is left
    torch::jit::PeepholeOptimize(result.graph, /*disable_shape_peepholes=*/true);
  torch::jit::ConstantPropagation(result.graph);
  name_identities(graph);  // whose mode was computed
  torch::jit::EliminateDeadCode(result.graph);
  torch::jit::ConstantPooling(result.graph);
  return result;
}

}  // namespace wasmgrad::training::lowering
