// Disjoint sets over a graph's values.
#include "wasmgrad/training/torch/lowering/aliases.hpp"

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "wasmgrad/training/torch/lowering/graph_edit.hpp"

namespace wasmgrad::training::lowering {
namespace {

/// Whether a value of this type is a tensor, or may have one inside.
bool has_memory(const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::IntType:
    case c10::TypeKind::FloatType:
    case c10::TypeKind::BoolType:
    case c10::TypeKind::NumberType:
    case c10::TypeKind::StringType:
    case c10::TypeKind::NoneType:
    case c10::TypeKind::DeviceObjType:
      return false;
    case c10::TypeKind::ListType:
    case c10::TypeKind::OptionalType:
    case c10::TypeKind::TupleType:
    case c10::TypeKind::DictType: {
      const auto inside = type->containedTypes();
      return std::any_of(inside.begin(), inside.end(), has_memory);
    }
    default:
      return true;
  }
}

bool is_tensor_like(const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
      return true;
    case c10::TypeKind::ListType:
    case c10::TypeKind::OptionalType:
      return is_tensor_like(type->containedTypes()[0]);
    default:
      return false;
  }
}

bool is_written(const c10::Argument& argument) {
  return argument.alias_info() != nullptr && argument.alias_info()->isWrite();
}

/// Operators composed of others whose results are always new. The other composed ones may return an
/// argument, or a view of it, without saying so.
bool gives_new_tensor(std::string_view kind) {
  static const std::set<std::string_view> kinds{"aten::conv1d",
                                                "aten::conv2d",
                                                "aten::conv3d",
                                                "aten::linear",
                                                "aten::matmul",
                                                "aten::batch_norm",
                                                "aten::layer_norm",
                                                "aten::group_norm",
                                                "aten::instance_norm",
                                                "aten::relu6",
                                                "aten::selu",
                                                "aten::max_pool1d",
                                                "aten::max_pool2d",
                                                "aten::max_pool3d",
                                                "aten::adaptive_avg_pool1d",
                                                "aten::cat",
                                                "aten::stack",
                                                "aten::adaptive_avg_pool2d",
                                                "aten::embedding",
                                                "aten::cross_entropy",
                                                "aten::cosine_similarity",
                                                "aten::softmax",
                                                "aten::log_softmax",
                                                "aten::scaled_dot_product_attention",
                                                "aten::conv_transpose2d"};
  return kinds.count(kind) != 0;
}

/// With a probability that is known and not 0, dropout's result is new; it is its input otherwise.
bool may_drop_nothing(const Node* node) {
  const auto probability = constant_input(node, 1);
  return !probability || !probability->isDouble() || probability->toDouble() == 0;
}

}  // namespace

bool may_return_argument_unsaid(const torch::jit::Node* node) {
  if (std::none_of(node->outputs().begin(), node->outputs().end(),
                   [](const Value* output) { return has_memory(output->type()); }))
    return false;
  const std::string_view kind = node->kind().toQualString();
  if (kind == "wasmgrad::dropout" || kind == "wasmgrad::flatten_dropout") return may_drop_nothing(node);
  if (kind == "wasmgrad::channels_last" || kind == "wasmgrad::to_float" || kind == "wasmgrad::to_bf16" ||
      kind == "wasmgrad::to_f32")
    return true;
  if (gives_new_tensor(kind)) return false;
  const bool gives_container =
      std::any_of(node->outputs().begin(), node->outputs().end(), [](const Value* output) {
        return output->type()->kind() != c10::TypeKind::TensorType && has_memory(output->type());
      });
  if (gives_container) return true;
  const c10::FunctionSchema& schema = node->schema();
  const auto known = c10::Dispatcher::singleton().findSchema({schema.name(), schema.overload_name()});
  return known && known->hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
}

namespace {

/// Running statistics, which batch norm's schema does not mark as written.
bool updates_statistics(const Node* node) {
  static const std::set<std::string_view> kinds{"aten::batch_norm", "aten::instance_norm",
                                                "aten::native_batch_norm"};
  return kinds.count(node->kind().toQualString()) != 0;
}

}  // namespace

Aliases::Aliases(torch::jit::Graph& graph, at::ArrayRef<c10::IValue> captured) {
  join_captured(graph, captured);
  visit(graph.block());
  for (const Value* value : seen_by_others_) written_.insert(root(number_of(value)));
}

bool Aliases::written(const Value* value) const {
  const auto known = numbers_.find(value);
  return known != numbers_.end() && written_.count(root(known->second)) != 0;
}

bool Aliases::may_move(const Node* node, const Node* place) const {
  for (const Node* other = node->next(); other != place; other = other->next())
    if (depend(node, other)) return false;
  return true;
}

std::size_t Aliases::number_of(const Value* value) {
  const auto [known, added] = numbers_.try_emplace(value, parents_.size());
  if (added) parents_.push_back(known->second);
  return known->second;
}

std::size_t Aliases::root(std::size_t number) const {
  while (parents_[number] != number) number = parents_[number];
  return number;
}

void Aliases::join(const Value* a, const Value* b) {
  if (!has_memory(a->type()) || !has_memory(b->type())) return;
  parents_[root(number_of(a))] = root(number_of(b));
}

void Aliases::join_all(const Node* node) {
  const Value* first = nullptr;
  const auto add = [&](const Value* value) {
    if (!has_memory(value->type())) return;
    if (first != nullptr) join(value, first);
    first = value;
  };
  if (std::none_of(node->outputs().begin(), node->outputs().end(),
                   [](const Value* output) { return has_memory(output->type()); }))
    return;
  for (const Value* value : node->outputs()) add(value);
  for (const Value* value : node->inputs()) add(value);
}

/// Tied parameters, views of one buffer, and the module itself, which may hold any of them.
void Aliases::join_captured(torch::jit::Graph& graph, at::ArrayRef<c10::IValue> captured) {
  const std::size_t first = graph.inputs().size() - captured.size();
  std::unordered_map<const void*, const Value*> by_storage;
  const Value* module = nullptr;
  for (std::size_t i = 0; i < captured.size(); ++i) {
    const Value* value = graph.inputs()[first + i];
    if (!captured[i].isTensor()) {
      module = value;
    } else if (captured[i].toTensor().has_storage()) {
      const auto [known, added] =
          by_storage.try_emplace(captured[i].toTensor().storage().unsafeGetStorageImpl(), value);
      if (!added) join(value, known->second);
    }
  }
  for (std::size_t i = 0; module != nullptr && i < captured.size(); ++i)
    join(graph.inputs()[first + i], module);
}

void Aliases::visit(torch::jit::Block* block) {
  for (Node* node : block->nodes()) visit(node);
}

void Aliases::visit(Node* node) {
  for (torch::jit::Block* inner : node->blocks()) visit(inner);
  if (node->kind() == c10::prim::Constant) return;
  if (node->kind() == c10::prim::If) {
    visit_branches(node);
  } else if (node->kind() == c10::prim::Loop) {
    visit_loop(node);
  } else if (node->kind() == c10::prim::SetAttr) {
    join(node->input(0), node->input(1));
  } else if (const auto* schema = node->maybeSchema(); schema != nullptr && !node->kind().is_prim()) {
    visit_operator(node, *schema);
  } else {
    join_all(node);
  }
}

void Aliases::visit_branches(Node* node) {
  for (torch::jit::Block* block : node->blocks())
    for (std::size_t i = 0; i < node->outputs().size(); ++i) join(node->output(i), block->outputs()[i]);
}

/// inputs: trip count, condition, carried...; the body takes its turn and the carried, gives condition and
/// carried.
void Aliases::visit_loop(Node* node) {
  const torch::jit::Block* body = node->blocks()[0];
  for (std::size_t i = 0; i < node->outputs().size(); ++i) {
    join(node->output(i), node->input(i + 2));
    join(node->output(i), body->inputs()[i + 1]);
    join(node->output(i), body->outputs()[i + 1]);
  }
}

void Aliases::visit_operator(Node* node, const c10::FunctionSchema& schema) {
  const auto& returns = schema.returns();
  const bool says_so = std::any_of(returns.begin(), returns.end(),
                                   [](const c10::Argument& one) { return one.alias_info() != nullptr; });
  const bool in_place = says_so && returns.size() == 1 && is_written(schema.arguments()[0]);
  bool fills_container = false;
  for (std::size_t i = 0; i < schema.arguments().size() && i < node->inputs().size(); ++i) {
    if (!is_written(schema.arguments()[i])) continue;
    if (is_tensor_like(schema.arguments()[i].type())) {
      note_write(node, i, in_place);
    } else {
      fills_container = true;
    }
  }
  if (fills_container) {
    join_all(node);
    for (const Value* input : node->inputs()) join(input, node->input(0));
  } else if (in_place) {
    join(node->output(0), node->input(0));
  } else if (says_so || may_return_argument_unsaid(node)) {
    join_all(node);
  } else {
    for (const Value* output : node->outputs()) own_.insert(output);
  }
  if (updates_statistics(node)) {
    for (const std::size_t i : {3, 4})
      if (node->input(i)->type()->kind() != c10::TypeKind::NoneType) note_write(node, i, false);
  }
}

/// A new tensor that only this operator uses is taken over by the result.
void Aliases::note_write(Node* node, std::size_t input, bool in_place) {
  const Value* value = node->input(input);
  writes_[node].push_back(value);
  const bool taken_over = in_place && input == 0 && own_.count(value) != 0 && value->uses().size() == 1 &&
                          value->node()->owningBlock() == node->owningBlock();
  if (taken_over) {
    own_.insert(node->output(0));
  } else {
    seen_by_others_.push_back(value);
  }
}

bool Aliases::share(const Value* a, const Value* b) const {
  if (a == b) return true;
  const auto first = numbers_.find(a);
  const auto second = numbers_.find(b);
  return first != numbers_.end() && second != numbers_.end() && root(first->second) == root(second->second);
}

bool Aliases::touches(const Node* node, const Value* value) const {
  const auto same = [&](const Value* other) { return share(other, value); };
  return std::any_of(node->inputs().begin(), node->inputs().end(), same) ||
         std::any_of(node->outputs().begin(), node->outputs().end(), same);
}

bool Aliases::writes_what_touches(const Node* writer, const Node* other) const {
  const auto found = writes_.find(writer);
  return found != writes_.end() && std::any_of(found->second.begin(), found->second.end(),
                                               [&](const Value* value) { return touches(other, value); });
}

bool Aliases::depend(const Node* first, const Node* second) const {
  if (writes_what_touches(first, second) || writes_what_touches(second, first)) return true;
  for (const torch::jit::Block* inner : second->blocks())
    for (const Node* node : inner->nodes())
      if (depend(first, node)) return true;
  return false;
}

}  // namespace wasmgrad::training::lowering
