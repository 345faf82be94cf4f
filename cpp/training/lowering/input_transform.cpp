// The batch arrives in its dataset's type; the program wants f32.
#include "wasmgrad/training/lowering/graph_edit.hpp"
#include "wasmgrad/training/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

bool asks_shape_only(const Node* node) {
  return node->kind() == c10::aten::dim || node->kind() == c10::aten::size ||
         node->kind() == c10::aten::numel;
}

}  // namespace

void lower_input_transform(Graph& graph, double scale, double offset) {
  Value* batch = graph.inputs()[0];
  Node* first = *graph.nodes().begin();
  Value* scale_value = insert_constant_before(first, scale);
  Value* offset_value = insert_constant_before(first, offset);
  Value* x = insert_tensor_node(first, "wasmgrad::to_float", {batch, scale_value, offset_value});
  const auto uses = batch->uses();  // a copy: the list changes below
  for (const auto& use : uses)
    if (use.user != x->node() && !asks_shape_only(use.user)) use.user->replaceInput(use.offset, x);
}

}  // namespace wasmgrad::training::lowering
