#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {

/// aten::batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled)
int lower_batch_norm(Graph& graph) {
  int rewritten = 0;
  for (Node* norm : nodes_of_kind(graph, "aten::batch_norm")) {
    const auto training = constant_input(norm, 5);
    if (!training || !training->isBool() || !training->toBool()) continue;
    std::vector<Value*> inputs(norm->inputs().begin(), norm->inputs().begin() + 5);
    inputs.push_back(norm->input(6));
    inputs.push_back(norm->input(7));
    replace_node(norm, insert_tensor_node(norm, "wasmgrad::batch_norm", inputs));
    ++rewritten;
  }
  return rewritten;
}

}  // namespace wasmgrad::training::lowering
