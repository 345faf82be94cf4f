// Small helpers the passes share for reading constants and swapping nodes of a TorchScript graph. Torch
// header.
#pragma once

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace wasmgrad::training::lowering {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

inline c10::Symbol symbol(const char* name) { return c10::Symbol::fromQualString(name); }

/// All nodes of the block and of the blocks inside it, in order, as they are now (safe against later edits of
/// others).
inline void collect_nodes(Block* block, c10::Symbol kind, std::vector<Node*>& found) {
  for (Node* node : block->nodes()) {
    if (node->kind() == kind) found.push_back(node);
    for (Block* inner : node->blocks()) collect_nodes(inner, kind, found);
  }
}

inline std::vector<Node*> nodes_of_kind(Graph& graph, const char* kind) {
  std::vector<Node*> found;
  collect_nodes(graph.block(), symbol(kind), found);
  return found;
}

/// The compile-time value of input `index`, or nothing when it is known only at run time.
inline std::optional<c10::IValue> constant_input(const Node* node, std::size_t index) {
  return torch::jit::toIValue(node->input(index));
}

/// Inserts `kind(inputs)` with one tensor output before `place`.
inline Value* insert_tensor_node(Node* place, const char* kind, at::ArrayRef<Value*> inputs) {
  Graph& graph = *place->owningGraph();
  Node* node = graph.create(symbol(kind), inputs, 1);
  node->output()->setType(c10::TensorType::get());
  node->insertBefore(place);
  return node->output();
}

/// A constant in front of `place`.
template <class T>
Value* insert_constant_before(Node* place, T value) {
  const torch::jit::WithInsertPoint point(place);
  return torch::jit::insertConstant(*place->owningGraph(), value);
}

/// Replaces a node of one output by `value` and removes it.
inline void replace_node(Node* node, Value* value) {
  node->output()->replaceAllUsesWith(value);
  node->destroy();
}

}  // namespace wasmgrad::training::lowering
