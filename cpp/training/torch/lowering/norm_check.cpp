// PyTorch's modules refuse to normalise a single value in training, since its variance says nothing and the
// running one becomes NaN. That check is Python, which an exported program has lost: the operators get it
// back.
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

int check_inputs(Graph& graph, const char* kind, const char* check) {
  int checked = 0;
  for (Node* norm : nodes_of_kind(graph, kind)) {
    const auto training = constant_input(norm, 5);  // training, or use_input_stats
    if (training && training->isBool() && !training->toBool()) continue;
    norm->replaceInput(0, insert_tensor_node(norm, check, {norm->input(0), norm->input(5)}));
    ++checked;
  }
  return checked;
}

}  // namespace

int lower_norm_check(Graph& graph) {
  return check_inputs(graph, "aten::batch_norm", "wasmgrad::check_batch_norm") +
         check_inputs(graph, "aten::instance_norm", "wasmgrad::check_instance_norm");
}

}  // namespace wasmgrad::training::lowering
