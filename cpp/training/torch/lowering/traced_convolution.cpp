// What a trace records for a convolution over pictures is the operator that the others are made of.
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {

/// aten::_convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups,
/// ...)
int lower_traced_convolution(Graph& graph) {
  int rewritten = 0;
  for (Node* conv : nodes_of_kind(graph, "aten::_convolution")) {
    const auto stride = constant_input(conv, 3);
    const auto transposed = constant_input(conv, 6);
    if (!stride || !stride->isIntList() || stride->toIntVector().size() != 2 || !transposed) continue;
    std::vector<Value*> inputs(conv->inputs().begin(), conv->inputs().begin() + 5);
    if (transposed->toBool()) {
      inputs.insert(inputs.end(), {conv->input(7), conv->input(8), conv->input(5)});
    } else {
      inputs.insert(inputs.end(), {conv->input(5), conv->input(8)});
    }
    const char* kind = transposed->toBool() ? "aten::conv_transpose2d" : "aten::conv2d";
    replace_node(conv, insert_tensor_node(conv, kind, inputs));
    ++rewritten;
  }
  return rewritten;
}

}  // namespace wasmgrad::training::lowering
