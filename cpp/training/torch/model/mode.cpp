#include "wasmgrad/training/torch/model/mode.hpp"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "wasmgrad/training/torch/model/mode_names.hpp"

namespace wasmgrad::training {

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

constexpr std::size_t kAttentionDropout = 4;  ///< of scaled_dot_product_attention

void collect(Block* block, std::vector<Node*>& nodes) {
  for (Node* node : block->nodes()) {
    nodes.push_back(node);
    for (Block* inner : node->blocks()) collect(inner, nodes);
  }
}

/// The argument that holds an operator's mode, if it is a constant.
std::optional<std::size_t> fixed_mode(const Node* node) {
  const c10::FunctionSchema* schema = node->maybeSchema();
  if (schema == nullptr || !node->kind().is_aten()) return std::nullopt;
  for (std::size_t i = 0; i < schema->arguments().size(); ++i) {
    if (!is_mode_argument(schema->arguments()[i].name())) continue;
    const auto value = torch::jit::toIValue(node->input(i));
    if (!value || !value->isBool()) return std::nullopt;
    // Batch statistics are all there is without running ones, in both modes.
    const auto statistics = schema->argumentIndexWithName("running_mean");
    if (statistics && node->input(static_cast<std::size_t>(*statistics))->mustBeNone()) return std::nullopt;
    return i;
  }
  return std::nullopt;
}

bool drops_attention(const Node* node) {
  if (node->kind() != c10::Symbol::fromQualString("aten::scaled_dot_product_attention")) return false;
  const auto probability = torch::jit::toIValue(node->input(kAttentionDropout));
  return probability && probability->isDouble() && probability->toDouble() > 0;
}

bool reads_attribute(const Value* value) { return value->node()->kind() == c10::prim::GetAttr; }

/// A write to a tensor of the module whose result nobody uses: the count of batches.
bool only_writes_state(const Node* node) {
  const c10::FunctionSchema* schema = node->maybeSchema();
  return schema != nullptr && schema->is_mutable() && node->outputs().size() == 1 &&
         !node->output()->hasUses() && reads_attribute(node->input(0));
}

void move_into_training(Graph& graph, Node* node, Value* training) {
  Node* branch = graph.create(c10::prim::If, {training}, 0)->insertBefore(node);
  Block* on = branch->addBlock();
  branch->addBlock();
  node->moveBefore(on->return_node());
}

/// Operators that cannot follow the mode, by the mode they are in.
struct Fixed {
  std::map<std::string, int> training, evaluation;
};

/// Whether a method's operators had a fixed mode and have the flag's now.
bool follow_flag(Graph& graph, const std::vector<Node*>& nodes) {
  std::vector<std::pair<Node*, std::size_t>> flagged;
  std::vector<Node*> writes;
  for (Node* node : nodes) {
    if (const auto argument = fixed_mode(node)) flagged.emplace_back(node, *argument);
    if (only_writes_state(node)) writes.push_back(node);
  }
  if (flagged.empty()) return false;
  const torch::jit::WithInsertPoint start(*graph.nodes().begin());
  Value* training = graph.insertGetAttr(graph.inputs()[0], "training");
  for (const auto& [node, argument] : flagged) node->replaceInput(argument, training);
  for (Node* node : writes) move_into_training(graph, node, training);
  return true;
}

void note_fixed(const std::vector<Node*>& nodes, Fixed& fixed) {
  for (const Node* node : nodes) {
    const auto argument = fixed_mode(node);
    if (argument) {
      const bool on = torch::jit::toIValue(node->input(*argument))->toBool();
      ++(on ? fixed.training : fixed.evaluation)[node->kind().toUnqualString()];
    } else if (drops_attention(node)) {
      ++fixed.training[node->kind().toUnqualString()];
    }
  }
}

std::string names_of(const std::map<std::string, int>& operators) {
  std::string text;
  for (const auto& [name, count] : operators) {
    text += (text.empty() ? "" : ", ") + name;
    if (count > 1) text += " (" + std::to_string(count) + " times)";
  }
  return text;
}

/// "__torch__.torch.nn.modules.batchnorm.___torch_mangle_3.BatchNorm2d" without what TorchScript adds.
std::string class_name(const torch::jit::Module& module) {
  const auto name = module.type()->name();
  const std::string text = name ? name->qualifiedName() : "";
  constexpr std::string_view prefix = "__torch__.";
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

bool has_flag(const torch::jit::Module& module) {
  const auto attribute = module.type()->findAttribute("training");
  return attribute != nullptr && attribute->kind() == c10::TypeKind::BoolType;
}

std::vector<std::string> sentences(bool traced, const Fixed& fixed) {
  std::vector<std::string> said;
  if (!fixed.evaluation.empty()) {
    said.push_back(
        "the mode of " + names_of(fixed.evaluation) +
        " is fixed: recorded in evaluation mode, as torch.jit.trace does, it stays in it while the "
        "model trains; torch.jit.script keeps the mode open");
  }
  if (!fixed.training.empty()) {
    said.push_back("the mode of " + names_of(fixed.training) +
                   " is fixed: recorded in training mode, as torch.jit.trace does, it acts so in evaluations "
                   "and predictions too; torch.jit.script keeps the mode open");
  }
  if (traced) {
    said.emplace_back(
        "it was traced, which fixes the mode: its layers of torch.nn, such as batch norm and dropout, are "
        "made "
        "to follow the mode again, but what else it decided by self.training stays as it was; "
        "torch.jit.script "
        "keeps all of it");
  }
  return said;
}

}  // namespace

HeldParts held_in(const torch::jit::Module& module) {
  HeldParts held;
  if (!module.is_training()) return held;
  for (const torch::jit::Module& part : module.modules())
    if (has_flag(part) && !part.is_training()) held.flags.insert(part._ivalue().get());
  return held;
}

std::vector<std::string> restore_mode(const torch::jit::Module& module) {
  std::set<const c10::ClassType*> seen;
  Fixed fixed;
  bool traced = false;
  for (const torch::jit::Module& part : module.modules()) {
    if (!seen.insert(part.type().get()).second) continue;
    const bool library = is_library_layer(class_name(part)) && has_flag(part);
    for (const torch::jit::Method& method : part.get_methods()) {
      const std::shared_ptr<Graph> graph = method.graph();
      std::vector<Node*> nodes;
      collect(graph->block(), nodes);
      if (library && follow_flag(*graph, nodes)) traced = true;
      note_fixed(nodes, fixed);
    }
  }
  return sentences(traced, fixed);
}

}  // namespace wasmgrad::training
