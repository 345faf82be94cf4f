// A batch arrives in its dataset's type; the program wants f32, or i64 for indices.
#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

bool asks_shape_only(const Node* node) {
  return node->kind() == c10::aten::dim || node->kind() == c10::aten::size ||
         node->kind() == c10::aten::numel;
}

}  // namespace

void lower_input_transform(Graph& graph, Value* input, InputTransform transform, const Aliases& aliases) {
  if (transform.kind == InputTransform::Kind::kUntouched) return;
  // unsqueeze_() and its like change what the shape is.
  const bool written = aliases.written(input);
  Node* first = *graph.nodes().begin();
  Value* x = nullptr;
  if (transform.kind == InputTransform::Kind::kInteger) {
    Value* type = insert_constant_before(first, static_cast<std::int64_t>(at::kLong));
    Value* no = insert_constant_before(first, false);
    Value* none = insert_constant_before(first, c10::IValue());
    x = insert_tensor_node(first, "aten::to", {input, type, no, no, none});
  } else {
    Value* scale = insert_constant_before(first, transform.scale);
    Value* offset = insert_constant_before(first, transform.offset);
    x = insert_tensor_node(first, "wasmgrad::to_float", {input, scale, offset});
  }
  const auto uses = input->uses();  // a copy: the list changes below
  for (const auto& use : uses)
    if (use.user != x->node() && (written || !asks_shape_only(use.user)))
      use.user->replaceInput(use.offset, x);
}

}  // namespace wasmgrad::training::lowering
