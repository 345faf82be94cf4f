// PyTorch's dropout draws serially from one generator; ours is addressed by (seed, step, site) and runs in
// parallel.
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {

int lower_dropout(Graph& graph, Value* seed, Value* step) {
  int sites = 0;
  for (Node* node : nodes_of_kind(graph, "aten::dropout")) {
    const auto training = constant_input(node, 2);
    if (!training || !training->toBool()) continue;
    // Inside a loop one site would draw the same mask in every turn.
    if (node->owningBlock() != graph.block()) continue;
    Value* site = insert_constant_before(node, static_cast<std::int64_t>(sites++));
    replace_node(node, insert_tensor_node(node, "wasmgrad::dropout",
                                          {node->input(0), node->input(1), seed, step, site}));
  }
  return sites;
}

}  // namespace wasmgrad::training::lowering
