// Products and convolutions in bfloat16, of f32 parameters; sums, norms, softmax and losses in f32.
//
// What lies between two products and computes element by element stays in bfloat16, so that it moves half the
// bytes. Every other operator sees f32. Where somebody writes to a tensor, all its users get the same one, in
// f32.
#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

/// How many of an operator's first inputs are its factors and what is added to their product; 0 for all
/// others.
std::size_t factors(const Node* node) {
  static const std::map<std::string_view, std::size_t> kinds{
      {"aten::conv1d", 3}, {"aten::conv2d", 3}, {"aten::conv3d", 3}, {"aten::conv_transpose2d", 3},
      {"aten::linear", 3}, {"aten::matmul", 2}, {"aten::mm", 2},     {"aten::bmm", 2},
      {"aten::addmm", 3}};
  const auto known = kinds.find(node->kind().toQualString());
  return known == kinds.end() ? 0 : known->second;
}

/// lstm(input, hx, params, ...), gru(input, hx, params, ...): not the forms for packed sequences, whose
/// second argument is of integers.
bool is_recurrent(const Node* node) {
  const bool lstm = node->kind() == symbol("aten::lstm");
  if (!lstm && node->kind() != symbol("aten::gru")) return false;
  return node->input(2)->type()->kind() == c10::TypeKind::ListType &&
         (!lstm || node->input(1)->type()->kind() == c10::TypeKind::ListType);
}

/// Operators of one tensor that compute each element by itself or only move elements.
bool is_elementwise(const Node* node) {
  static const std::set<std::string_view> kinds{"aten::relu",
                                                "aten::relu6",
                                                "aten::hardtanh",
                                                "aten::leaky_relu",
                                                "aten::gelu",
                                                "aten::silu",
                                                "aten::hardswish",
                                                "aten::sigmoid",
                                                "aten::tanh",
                                                "aten::max_pool2d",
                                                "aten::adaptive_avg_pool2d",
                                                "aten::avg_pool2d",
                                                "aten::upsample_nearest2d",
                                                "aten::flatten",
                                                "aten::view",
                                                "aten::reshape",
                                                "aten::contiguous",
                                                "aten::transpose",
                                                "aten::permute",
                                                "aten::select",
                                                "aten::slice",
                                                "aten::squeeze",
                                                "aten::unsqueeze",
                                                "aten::batch_norm",
                                                "wasmgrad::check_batch_norm",
                                                "wasmgrad::dropout",
                                                "wasmgrad::max_pool2x2"};
  return kinds.count(node->kind().toQualString()) != 0;
}

/// The same that write to their tensor.
bool is_in_place(const Node* node) {
  static const std::set<std::string_view> kinds{"aten::relu_",       "aten::relu6_", "aten::hardtanh_",
                                                "aten::leaky_relu_", "aten::silu_",  "aten::hardswish_"};
  return kinds.count(node->kind().toQualString()) != 0;
}

/// Operators of two tensors whose result has the wider of their types.
bool promotes(const Node* node) {
  static const std::set<std::string_view> kinds{"aten::add", "aten::sub", "aten::mul", "aten::div"};
  return kinds.count(node->kind().toQualString()) != 0;
}

/// Questions that have one answer in both types.
bool reads_shape(const Node* node) {
  static const std::set<std::string_view> kinds{"aten::size", "aten::dim", "aten::numel"};
  return kinds.count(node->kind().toQualString()) != 0;
}

class Narrowing {
 public:
  Narrowing(Graph& graph, const Aliases& aliases) : graph_(graph), aliases_(aliases) {}

  int run() {
    visit(graph_.block());
    return products_;
  }

 private:
  void visit(Block* block) {
    for (auto it = block->nodes().begin(); it != block->nodes().end();) {
      Node* node = *it++;
      for (Block* inner : node->blocks()) visit(inner);
      visit(node);
    }
    widen_inputs(block->return_node());
  }

  void visit(Node* node) {
    if (const std::size_t count = factors(node); count != 0) {
      for (std::size_t index = 0; index < count; ++index) narrow_input(node, index);
      widen_inputs_from(node, count);
      give(node);
      ++products_;
    } else if (is_recurrent(node)) {
      for (const std::size_t index : {0, 1, 2}) narrow_input(node, index);
      give(node);
      ++products_;
    } else if (is_elementwise(node) || is_in_place(node)) {
      if (is_narrow(node->input(0))) give(node);
    } else if (promotes(node)) {
      const auto& type = node->input(1)->type();
      if (is_narrow(node->input(0)) &&
          (is_narrow(node->input(1)) || type->kind() != c10::TypeKind::TensorType))
        give(node);
    } else if (!reads_shape(node)) {
      widen_inputs(node);
    }
  }

  [[nodiscard]] bool is_narrow(const Value* value) const { return narrow_.count(value) != 0; }

  /// A copy for each user would take a write away from the others.
  void give(Node* node) {
    for (Value* value : node->outputs()) {
      if (!aliases_.written(value)) {
        narrow_.insert(value);
        continue;
      }
      Value* copy = insert_tensor_node(node->next(), "wasmgrad::to_f32", {value});
      value->replaceAllUsesAfterNodeWith(copy->node(), copy);
    }
  }

  void narrow_input(Node* node, std::size_t index) {
    Value* value = node->input(index);
    if (value->type()->kind() == c10::TypeKind::ListType) {
      node->replaceInput(index, insert_list_node(node, "wasmgrad::all_to_bf16", value));
      return;
    }
    if (is_narrow(value) || value->type()->kind() != c10::TypeKind::TensorType) return;
    node->replaceInput(index, narrowed(node, value));
  }

  static Value* insert_list_node(Node* place, const char* kind, Value* list) {
    Value* result = insert_tensor_node(place, kind, {list});
    return result->setType(c10::ListType::ofTensors());
  }

  /// One copy for all products of a block; what is written to may differ from user to user.
  Value* narrowed(Node* node, Value* value) {
    if (aliases_.written(value)) return insert_tensor_node(node, "wasmgrad::to_bf16", {value});
    Value*& copy = copies_[{node->owningBlock(), value}];
    if (copy == nullptr) copy = insert_tensor_node(node, "wasmgrad::to_bf16", {value});
    return copy;
  }

  void widen_inputs(Node* node) { widen_inputs_from(node, 0); }

  void widen_inputs_from(Node* node, std::size_t first) {
    for (std::size_t index = first; index < node->inputs().size(); ++index)
      if (Value* value = node->input(index); is_narrow(value))
        node->replaceInput(index, insert_tensor_node(node, "wasmgrad::to_f32", {value}));
  }

  Graph& graph_;
  const Aliases& aliases_;
  std::unordered_set<const Value*> narrow_;
  std::map<std::pair<const Block*, const Value*>, Value*> copies_;
  int products_ = 0;
};

}  // namespace

int lower_precision(Graph& graph, const Aliases& aliases) { return Narrowing(graph, aliases).run(); }

}  // namespace wasmgrad::training::lowering
