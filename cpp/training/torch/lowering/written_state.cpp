// TorchScript's alias analysis says what a node may write to. It takes all inputs of a graph for one another,
// so on a copy of the graph each captured tensor gets a node of its own instead.
#include "wasmgrad/training/torch/lowering/written_state.hpp"

#include <ATen/ops/empty.h>
#include <torch/csrc/jit/ir/alias_analysis.h>

#include <algorithm>
#include <set>
#include <string>

#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"

namespace wasmgrad::training::lowering {
namespace {

/// Normalisations write to their running statistics without a word in their schemas.
bool is_running_statistic(const c10::Argument& argument) { return argument.name().starts_with("running_"); }

/// Whether a normalisation reads its statistics only.
bool is_fixed(const Node* node, const c10::FunctionSchema& schema) {
  for (const char* flag : {"training", "train", "use_input_stats"}) {
    const auto index = schema.argumentIndexWithName(flag);
    if (!index) continue;
    const auto value = constant_input(node, static_cast<std::size_t>(*index));
    return value && value->isBool() && !value->toBool();
  }
  return false;
}

/// The values that the nodes write to; `all` when a node may write to anything.
void collect_writes(Block* block, std::vector<Value*>& written, bool& all) {
  for (Node* node : block->nodes()) {
    for (Block* inner : node->blocks()) collect_writes(inner, written, all);
    const c10::FunctionSchema* schema = node->maybeSchema();
    if (schema == nullptr) {
      all = all || node->kind() == c10::prim::CallMethod || node->kind() == c10::prim::CallFunction ||
            node->kind() == c10::prim::fork;
      continue;
    }
    for (std::size_t i = 0; i < schema->arguments().size() && i < node->inputs().size(); ++i) {
      const c10::Argument& argument = schema->arguments()[i];
      const bool writes = argument.alias_info() != nullptr && argument.alias_info()->isWrite();
      if (writes || (is_running_statistic(argument) && !is_fixed(node, *schema)))
        written.push_back(node->input(i));
    }
  }
}

/// The operators that may return an argument of which their schemas, and so the analysis, say nothing.
void collect_unsaid(Block* block, std::vector<Node*>& nodes) {
  for (Node* node : block->nodes()) {
    for (Block* inner : node->blocks()) collect_unsaid(inner, nodes);
    const c10::FunctionSchema* schema = node->maybeSchema();
    if (schema == nullptr || node->kind().is_prim()) continue;
    const bool says_so = std::ranges::any_of(
        schema->returns(), [](const c10::Argument& one) { return one.alias_info() != nullptr; });
    if (!says_so && may_return_argument_unsaid(node)) nodes.push_back(node);
  }
}

/// What the nodes of a graph write to.
class Writes {
 public:
  explicit Writes(const std::shared_ptr<Graph>& graph) : aliases_(graph) {
    collect_writes(graph->block(), written_, all_);
    std::vector<Node*> nodes;
    collect_unsaid(graph->block(), nodes);
    // The last one first: of a chain each is reached from the one after it; a loop's body takes more turns.
    std::ranges::reverse(nodes);
    const auto reach = [this](Node* node) {
      // What is taken out of a list that an operator made has lost its way.
      if (std::ranges::none_of(node->outputs(), [this](Value* output) {
            return output->type()->kind() != c10::TypeKind::TensorType || reaches(output);
          }))
        return false;
      passed_on_.insert(passed_on_.end(), node->inputs().begin(), node->inputs().end());
      return true;
    };
    while (std::erase_if(nodes, reach) > 0) {
    }
  }

  [[nodiscard]] bool reaches(Value* value) const {
    return all_ ||
           std::ranges::any_of(written_, [&](Value* target) { return aliases_.mayAlias(value, target); }) ||
           std::ranges::any_of(passed_on_,
                               [&](Value* target) { return aliases_.mayContainAlias(value, target); });
  }

 private:
  torch::jit::AliasDb aliases_;
  std::vector<Value*> written_;
  /// Arguments of operators that may return them unsaid: a write to the result is one to the argument.
  std::vector<Value*> passed_on_;
  bool all_ = false;
};

/// Stands for a captured tensor: nothing else has its memory.
Value* insert_own_memory(Graph& graph) {
  Node* node = graph.create(c10::prim::Constant, 1);
  node->t_(c10::attr::value, at::empty({0}));
  node->output()->setType(c10::TensorType::get());
  graph.prependNode(node);
  return node->output();
}

std::vector<at::Tensor> written_tensors(const Specialized& specialized) {
  const std::shared_ptr<Graph> graph = specialized.graph->copy();
  const std::size_t first = graph->inputs().size() - specialized.captured.size();
  std::vector<std::pair<Value*, at::Tensor>> captured;
  for (std::size_t i = 0; i < specialized.captured.size(); ++i) {
    if (!specialized.captured[i].isTensor()) continue;
    captured.emplace_back(insert_own_memory(*graph), specialized.captured[i].toTensor());
    graph->inputs()[first + i]->replaceAllUsesWith(captured.back().first);
  }
  const Writes writes(graph);
  std::vector<at::Tensor> tensors;
  for (const auto& [value, tensor] : captured)
    if (writes.reaches(value)) tensors.push_back(tensor);
  return tensors;
}

/// What specialize() turned into an input or a constant, unless the program assigns to it.
bool is_bound(const c10::IValue& value) {
  return value.isModule() || (value.isTensor() && value.toTensor().defined()) || value.isNone() ||
         value.isBool() || value.isInt() || value.isDouble() || value.isString();
}

std::vector<Attribute> written_attributes(Graph& graph, const torch::jit::Module& module) {
  std::vector<Node*> writes;
  collect_nodes(graph.block(), c10::prim::SetAttr, writes);
  std::set<std::string> assigned;
  for (const Node* write : writes) assigned.insert(write->s(c10::attr::name));
  std::vector<Attribute> attributes;
  for (const torch::jit::Module& part : module.modules()) {
    const auto object = part._ivalue();
    for (std::size_t slot = 0; slot < object->slots().size(); ++slot) {
      const bool by_name = assigned.contains(object->type()->getAttributeName(slot));
      if (by_name || !is_bound(object->getSlot(slot))) attributes.push_back({object, slot});
    }
  }
  return attributes;
}

}  // namespace

WrittenState written_state(const Specialized& specialized, const torch::jit::Module& module) {
  WrittenState state{written_tensors(specialized), {}};
  const bool reads_module =
      std::ranges::any_of(specialized.captured, [](const c10::IValue& value) { return value.isObject(); });
  if (reads_module) state.attributes = written_attributes(*specialized.graph, module);
  return state;
}

}  // namespace wasmgrad::training::lowering
