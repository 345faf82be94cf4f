// After a channels-last image, flattening is a reordering pass over memory that dropout can do while it
// reads.
#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

bool is_constant_int(const Node* node, std::size_t index, std::int64_t value) {
  const auto constant = constant_input(node, index);
  return constant && constant->isInt() && constant->toInt() == value;
}

}  // namespace

int lower_flatten_dropout(Graph& graph, const Aliases& aliases) {
  int rewritten = 0;
  for (Node* dropout : nodes_of_kind(graph, "wasmgrad::dropout")) {
    Node* flatten = dropout->input(0)->node();
    if (flatten->kind() != symbol("aten::flatten") || flatten->output()->uses().size() != 1) continue;
    if (aliases.written(flatten->input(0))) continue;  // perhaps between the two
    if (!is_constant_int(flatten, 1, 1) || !is_constant_int(flatten, 2, -1)) continue;
    replace_node(dropout, insert_tensor_node(dropout, "wasmgrad::flatten_dropout",
                                             {flatten->input(0), dropout->input(1), dropout->input(2),
                                              dropout->input(3), dropout->input(4)}));
    flatten->destroy();
    ++rewritten;
  }
  return rewritten;
}

}  // namespace wasmgrad::training::lowering
