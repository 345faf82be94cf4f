// max_pool2d(relu(x)) and max_pool2d(x) after a convolution, in the 2x2 form nearly every small network uses.
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

bool is_list(const Node* node, std::size_t index, std::initializer_list<std::int64_t> expected) {
  const auto value = constant_input(node, index);
  return value && value->isIntList() && value->toIntVector() == std::vector<std::int64_t>(expected);
}

/// aten::max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
bool is_2x2(const Node* pool) {
  const auto ceil_mode = constant_input(pool, 5);
  return is_list(pool, 1, {2, 2}) && (is_list(pool, 2, {2, 2}) || is_list(pool, 2, {})) &&
         is_list(pool, 3, {0, 0}) && is_list(pool, 4, {1, 1}) && ceil_mode && !ceil_mode->toBool();
}

bool is_convolution(const Node* node) {
  return node->kind() == symbol("aten::conv2d") || node->kind() == symbol("wasmgrad::input_norm_conv2d");
}

}  // namespace

int lower_max_pool(Graph& graph) {
  int rewritten = 0;
  for (Node* pool : nodes_of_kind(graph, "aten::max_pool2d")) {
    if (!is_2x2(pool)) continue;
    Node* before = pool->input(0)->node();
    const bool relu = (before->kind() == symbol("aten::relu") || before->kind() == symbol("aten::relu_")) &&
                      before->output()->uses().size() == 1 && before->input(0)->uses().size() == 1 &&
                      before->owningBlock() == pool->owningBlock();
    Value* x = relu ? before->input(0) : pool->input(0);
    if (!is_convolution(x->node())) continue;
    replace_node(pool,
                 insert_tensor_node(pool, "wasmgrad::max_pool2x2", {x, insert_constant_before(pool, relu)}));
    if (relu) before->destroy();
    ++rewritten;
  }
  return rewritten;
}

}  // namespace wasmgrad::training::lowering
