// Two steps, because torch's dead-code elimination keeps whatever may warn, raise or write: the loss is cut
// where its functions are still calls, then what is left of it is found by the inputs that are missing.
#include "wasmgrad/training/torch/lowering/without_loss.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>

#include "wasmgrad/training/torch/lowering/graph_edit.hpp"

namespace wasmgrad::training::lowering {
namespace {

constexpr const char* kLoss = "loss";

bool is_call(const Node* node) {
  return node->kind() == c10::prim::CallFunction || node->kind() == c10::prim::CallMethod;
}

/// Ends, tells or asks, but computes and changes nothing.
bool is_check(const Node* node) {
  return node->kind() == c10::prim::RaiseException || node->kind() == c10::aten::warn ||
         node->kind() == c10::prim::Print;
}

/// The inputs that the node writes to.
std::vector<std::size_t> written_inputs(const Node* node) {
  std::vector<std::size_t> written;
  const c10::FunctionSchema* schema = node->maybeSchema();
  if (schema == nullptr) return written;
  for (std::size_t i = 0; i < schema->arguments().size() && i < node->inputs().size(); ++i) {
    const c10::AliasInfo* alias = schema->arguments()[i].alias_info();
    if (alias != nullptr && alias->isWrite()) written.push_back(i);
  }
  return written;
}

bool only_computes(Node* node);

bool only_computes(Block* block) {
  return std::all_of(block->nodes().begin(), block->nodes().end(),
                     [](Node* node) { return is_check(node) || only_computes(node); });
}

/// Whether nobody notices when the node is gone, once nobody uses what it gives. Checks inside it are its
/// own.
bool only_computes(Node* node) {
  if (is_call(node)) {
    torch::jit::GraphFunction* callee = torch::jit::tryToGraphFunction(node);
    return callee != nullptr && only_computes(callee->graph()->block());
  }
  if (node->hasSideEffects() || !written_inputs(node).empty()) return false;
  return std::ranges::all_of(node->blocks(), [](Block* block) { return only_computes(block); });
}

/// Destroys what made these values, and what made that, while nothing else uses it.
void destroy_unused(const std::vector<Value*>& values) {
  std::vector<Node*> left;
  const auto add = [&left](Value* value) {
    Node* node = value->node();
    if (std::ranges::find(left, node) == left.end()) left.push_back(node);
  };
  std::ranges::for_each(values, add);
  while (!left.empty()) {
    Node* node = left.back();
    left.pop_back();
    if (node->kind() == c10::prim::Param || node->hasUses() || !only_computes(node)) continue;
    const std::vector<Value*> inputs(node->inputs().begin(), node->inputs().end());
    node->destroy();
    std::ranges::for_each(inputs, add);
  }
}

bool is_loss_key(const Value* key) {
  const auto name = torch::jit::toIValue(key);
  return name && name->isString() && name->toStringRef() == kLoss;
}

bool has_constant_key(const Node* node) {
  const auto name = torch::jit::toIValue(node->input(1));
  return name && name->isString();
}

/// The values under `loss` in a dict of which all entries are known; none when it is used in other ways.
std::vector<Value*> cut_from_dict(Node* dict) {
  std::vector<Node*> assignments;
  for (const torch::jit::Use& use : dict->output()->uses()) {
    if (use.user->kind() == c10::prim::Return && use.user->owningBlock() == dict->owningGraph()->block())
      continue;
    const bool sets =
        use.user->kind() == c10::aten::_set_item && use.offset == 0 && has_constant_key(use.user);
    const bool reads = use.user->kind() == c10::aten::__getitem__ && use.offset == 0 &&
                       has_constant_key(use.user) && !is_loss_key(use.user->input(1));
    if (!sets && !reads) return {};
    if (sets && is_loss_key(use.user->input(1))) assignments.push_back(use.user);
  }
  std::vector<Value*> cut;
  for (Node* assignment : assignments) {
    cut.push_back(assignment->input(2));
    assignment->destroy();
  }
  for (std::size_t key = dict->inputs().size(); key >= 2; key -= 2) {
    if (!is_loss_key(dict->input(key - 2))) continue;
    cut.push_back(dict->input(key - 1));
    dict->removeInput(key - 1);
    dict->removeInput(key - 2);
  }
  return cut;
}

std::vector<Value*> cut_from_tuple(Node* tuple) {
  const auto type = tuple->output()->type()->cast<c10::TupleType>();
  if (!type || !type->schema() || tuple->output()->uses().size() != 1) return {};
  for (std::size_t field = 0; field < tuple->inputs().size(); ++field) {
    if (type->schema()->arguments()[field].name() != kLoss) continue;
    Value* cut = tuple->input(field);
    tuple->removeInput(field);
    std::vector<c10::TypePtr> left;
    for (const Value* input : tuple->inputs()) left.push_back(input->type());
    tuple->output()->setType(c10::TupleType::create(std::move(left)));
    return {cut};
  }
  return {};
}

/// What depends on some inputs: by what it computes with, or by whether it is reached at all.
class Dependents {
 public:
  Dependents(Graph& graph, const std::vector<Value*>& on) : values_(on.begin(), on.end()) {
    std::size_t before = 0;
    do {  // what a loop carries, and what is written to, reaches backwards
      before = values_.size() + effects_.size();
      visit(graph.block(), false);
    } while (values_.size() + effects_.size() != before);
  }

  /// Nodes that do something besides computing.
  [[nodiscard]] const std::vector<Node*>& effects() const { return effects_; }

 private:
  void visit(Block* block, bool reached_by) {
    for (Node* node : block->nodes()) {
      const bool depends =
          std::ranges::any_of(node->inputs(), [this](Value* input) { return values_.contains(input); });
      if (node->kind() == c10::prim::If) {
        visit_if(node, reached_by);
      } else if (node->kind() == c10::prim::Loop) {
        visit_loop(node, reached_by);
      } else {
        if (depends) values_.insert(node->outputs().begin(), node->outputs().end());
        for (Block* inner : node->blocks()) visit(inner, reached_by || depends);
        if (depends || reached_by) visit_effect(node);
      }
    }
  }

  void visit_effect(Node* node) {
    const std::vector<std::size_t> written = written_inputs(node);
    for (const std::size_t index : written) values_.insert(node->input(index));
    const bool effect = is_check(node) || node->kind() == c10::prim::SetAttr || !written.empty();
    if (effect && std::ranges::find(effects_, node) == effects_.end()) effects_.push_back(node);
  }

  void visit_if(Node* node, bool reached_by) {
    const bool depends = values_.contains(node->input());
    for (Block* branch : node->blocks()) {
      visit(branch, reached_by || depends);
      for (std::size_t i = 0; i < node->outputs().size(); ++i)
        if (depends || values_.contains(branch->outputs()[i])) values_.insert(node->output(i));
    }
  }

  void visit_loop(Node* node, bool reached_by) {
    Block* body = node->blocks().at(0);
    const bool depends = values_.contains(node->input(0)) || values_.contains(node->input(1)) ||
                         values_.contains(body->outputs()[0]);
    visit(body, reached_by || depends);
    for (std::size_t i = 0; i < node->outputs().size(); ++i) {
      if (!depends && !values_.contains(node->input(i + 2)) && !values_.contains(body->outputs()[i + 1]))
        continue;
      values_.insert(node->output(i));
      values_.insert(body->inputs()[i + 1]);
    }
  }

  std::unordered_set<Value*> values_;
  std::vector<Node*> effects_;
};

/// Takes a node that writes, raises or warns out. False when something uses a result that is not what it
/// wrote to.
bool remove_effect(Node* node) {
  if (node->hasUses()) {
    const std::vector<std::size_t> written = written_inputs(node);
    if (written.size() != 1 || node->outputs().size() != 1) return false;
    node->output()->replaceAllUsesWith(node->input(written[0]));
  }
  node->destroy();
  return true;
}

}  // namespace

bool returns_need(const std::shared_ptr<Graph>& graph, const std::vector<std::size_t>& inputs) {
  const std::shared_ptr<Graph> copy = graph->copy();
  torch::jit::EliminateDeadCode(copy,
                                torch::jit::DCESideEffectPolicy::ALLOW_DELETING_NODES_WITH_SIDE_EFFECTS);
  return std::ranges::any_of(inputs, [&](std::size_t index) { return copy->inputs()[index]->hasUses(); });
}

bool cut_loss(Graph& graph) {
  while (is_call(graph.outputs()[0]->node())) {
    Node* call = graph.outputs()[0]->node();
    torch::jit::GraphFunction* callee = torch::jit::tryToGraphFunction(call);
    if (callee == nullptr) return false;
    if (call->kind() == c10::prim::CallFunction) call->removeInput(0);
    torch::jit::inlineCallTo(call, callee, callee->graph().get());
  }
  Node* returned = graph.outputs()[0]->node();
  std::vector<Value*> cut;
  if (returned->kind() == c10::prim::DictConstruct) cut = cut_from_dict(returned);
  if (returned->kind() == c10::prim::TupleConstruct) cut = cut_from_tuple(returned);
  destroy_unused(cut);
  return !cut.empty();
}

bool cut_dependents(std::shared_ptr<Graph>& graph, const std::vector<Value*>& missing) {
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < graph->inputs().size(); ++i)
    if (std::ranges::find(missing, graph->inputs()[i]) != missing.end()) positions.push_back(i);
  if (returns_need(graph, positions)) return false;
  const Dependents dependents(*graph, missing);
  for (Node* effect : dependents.effects())
    if (!remove_effect(effect)) return false;
  torch::jit::EliminateDeadCode(graph);
  return std::ranges::none_of(missing, &Value::hasUses);
}

}  // namespace wasmgrad::training::lowering
