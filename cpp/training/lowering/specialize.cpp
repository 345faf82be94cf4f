// Attribute reads become graph inputs (tensors) or constants (the rest), unless the program may assign to
// them.
#include "wasmgrad/training/lowering/specialize.hpp"

#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <map>
#include <set>
#include <string>
#include <utility>

#include "wasmgrad/training/lowering/graph_edit.hpp"

namespace wasmgrad::training::lowering {
namespace {

using ObjectPtr = c10::intrusive_ptr<c10::ivalue::Object>;

/// Walks the graph in execution order and resolves what it reads from the module tree.
class AttributeBinder {
 public:
  AttributeBinder(Graph& graph, bool training, std::vector<c10::IValue>& captured)
      : graph_(graph), training_(training), captured_(captured) {
    std::vector<Node*> writes;
    collect_nodes(graph.block(), c10::prim::SetAttr, writes);
    for (const Node* write : writes) assigned_.insert(write->s(c10::attr::name));
  }

  void bind(Value* self, const ObjectPtr& module) {
    objects_.emplace(self, module);
    bind_block(graph_.block());
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
      replace_node(read, insert_constant_before(read, c10::IValue(training_)));
    } else if (value.isNone() || value.isBool() || value.isInt() || value.isDouble() || value.isString()) {
      replace_node(read, insert_constant_before(read, value));
    }
  }

  Value* input_for(const ObjectPtr& object, const std::string& name, const c10::IValue& value) {
    auto [known, added] = inputs_.try_emplace({object.get(), name}, nullptr);
    if (added) {
      known->second = graph_.addInput(name)->setType(c10::TensorType::get());
      captured_.push_back(value);
    }
    return known->second;
  }

  Graph& graph_;
  bool training_;
  std::vector<c10::IValue>& captured_;
  std::set<std::string> assigned_;
  std::map<Value*, ObjectPtr> objects_;
  std::map<std::pair<const c10::ivalue::Object*, std::string>, Value*> inputs_;
};

void use_defaults(Graph& graph, const c10::FunctionSchema& schema) {
  const auto& arguments = schema.arguments();  // self, the batch, then only what has a default
  TORCH_CHECK(arguments.size() >= 2, "the model's forward takes no input, expected one tensor");
  for (std::size_t index = arguments.size(); index-- > 2;) {
    const auto& value = arguments[index].default_value();
    TORCH_CHECK(value.has_value(), "the model's forward needs the argument '", arguments[index].name(),
                "' besides its first, expected one input tensor only");
    Value* constant = insert_constant_before(*graph.nodes().begin(), *value);
    graph.inputs()[index]->replaceAllUsesWith(constant);
    graph.eraseInput(index);
  }
}

}  // namespace

Specialized specialize(const torch::jit::Module& module, bool training) {
  const torch::jit::Method forward = module.get_method("forward");
  Specialized result{forward.graph()->copy(), {}};
  Graph& graph = *result.graph;
  use_defaults(graph, forward.function().getSchema());
  torch::jit::Inline(graph);
  AttributeBinder(graph, training, result.captured).bind(graph.inputs()[0], module._ivalue());

  torch::jit::EliminateDeadCode(result.graph);
  if (graph.inputs()[0]->hasUses()) {  // attributes that the program assigns are read from the module itself
    Value* self = graph.addInput("self")->setType(graph.inputs()[0]->type());
    graph.inputs()[0]->replaceAllUsesWith(self);
    result.captured.emplace_back(module._ivalue());
  }
  graph.eraseInput(0);
  torch::jit::ConstantPropagation(result.graph);
  torch::jit::EliminateDeadCode(result.graph);
  torch::jit::ConstantPooling(result.graph);
  return result;
}

}  // namespace wasmgrad::training::lowering
