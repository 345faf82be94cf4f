// Which values of a graph share memory, and which of that memory is written to. The one place that passes ask
// before they give a user a copy, compute something later or read an input twice. Torch header.
//
// Values are put together when an operator's schema, or its being composed of others, allows that they share
// memory; order does not count. What is said to be apart is apart.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/ir/ir.h>

#include <cstddef>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace wasmgrad::training::lowering {

/// Whether what an operator returns may be one of its arguments, or a view of it, although its schema does
/// not say so. Of a node with a schema.
[[nodiscard]] bool may_return_argument_unsaid(const torch::jit::Node* node);

class Aliases {
 public:
  /// Of the graph as it is now. `captured`: what its last inputs are; those of one storage are put together.
  Aliases(torch::jit::Graph& graph, at::ArrayRef<c10::IValue> captured);

  /// Whether an operator writes to memory that `value` may share and that another one may look at. A write
  /// to a new tensor by its only user, as in relu_(conv2d(x)), is none.
  [[nodiscard]] bool written(const torch::jit::Value* value) const;

  /// Whether `node` gives the same right before `place`, further down in its block.
  [[nodiscard]] bool may_move(const torch::jit::Node* node, const torch::jit::Node* place) const;

 private:
  using Node = torch::jit::Node;
  using Value = torch::jit::Value;

  std::size_t number_of(const Value* value);
  std::size_t root(std::size_t number) const;
  void join(const Value* a, const Value* b);
  void join_all(const Node* node);
  void join_captured(torch::jit::Graph& graph, at::ArrayRef<c10::IValue> captured);

  void visit(torch::jit::Block* block);
  void visit(Node* node);
  void visit_branches(Node* node);
  void visit_loop(Node* node);
  void visit_operator(Node* node, const c10::FunctionSchema& schema);
  void note_write(Node* node, std::size_t input, bool in_place);

  [[nodiscard]] bool share(const Value* a, const Value* b) const;
  [[nodiscard]] bool touches(const Node* node, const Value* value) const;
  [[nodiscard]] bool writes_what_touches(const Node* writer, const Node* other) const;
  [[nodiscard]] bool depend(const Node* first, const Node* second) const;

  std::unordered_map<const Value*, std::size_t> numbers_;
  std::vector<std::size_t> parents_;
  std::unordered_set<const Value*> own_;  ///< new tensors, which share memory with nothing older
  std::unordered_map<const Node*, std::vector<const Value*>> writes_;
  std::vector<const Value*> seen_by_others_;  ///< written, and not by an only user
  std::unordered_set<std::size_t> written_;   ///< roots
};

}  // namespace wasmgrad::training::lowering
