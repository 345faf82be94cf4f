// Operators that may return their argument without their schema saying so: everything that reasons about
// memory, torch's own passes too, would take the result for new.
#include <array>

#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/specialize.hpp"

namespace wasmgrad::training::lowering {
namespace {

constexpr std::array kDropouts = {"aten::dropout",
                                  "aten::dropout_",
                                  "aten::feature_dropout",
                                  "aten::feature_dropout_",
                                  "aten::alpha_dropout",
                                  "aten::alpha_dropout_",
                                  "aten::feature_alpha_dropout",
                                  "aten::feature_alpha_dropout_"};

/// dropout(input, p, train)
bool drops_nothing(const Node* dropout) {
  const auto probability = constant_input(dropout, 1);
  const auto training = constant_input(dropout, 2);
  return (training && !training->toBool()) ||
         (probability && probability->isDouble() && probability->toDouble() == 0);
}

}  // namespace

void name_identities(Graph& graph) {
  for (const char* kind : kDropouts)
    for (Node* node : nodes_of_kind(graph, kind))
      if (drops_nothing(node)) replace_node(node, node->input(0));
  for (Node* node : nodes_of_kind(graph, "aten::type_as")) {
    Value* no = insert_constant_before(node, false);
    Value* none = insert_constant_before(node, c10::IValue());
    replace_node(node, insert_tensor_node(node, "aten::to", {node->input(0), node->input(1), no, no, none}));
  }
}

}  // namespace wasmgrad::training::lowering
