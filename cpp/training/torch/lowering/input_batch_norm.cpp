// Batch norm of the data needs only two numbers a channel from the image gradient, and they follow from the
// weight gradient.
#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

bool is_none(const Value* value) { return value->mustBeNone(); }

/// aten::batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled)
bool normalises_data(const Node* norm) {
  const auto training = constant_input(norm, 5);
  return norm->input(0)->node()->kind() == symbol("wasmgrad::to_float") &&
         norm->input(0)->uses().size() == 1 && !is_none(norm->input(1)) && !is_none(norm->input(2)) &&
         !is_none(norm->input(3)) && !is_none(norm->input(4)) && training && training->toBool() &&
         constant_input(norm, 6) && constant_input(norm, 6)->isDouble() && norm->output()->uses().size() == 1;
}

/// aten::conv2d(input, weight, bias, stride, padding, dilation, groups)
bool is_plain_conv2d(const Node* conv) {
  if (conv->kind() != symbol("aten::conv2d")) return false;
  for (const std::size_t list : {3, 4, 5}) {
    const auto value = constant_input(conv, list);
    if (!value || !value->isIntList()) return false;
  }
  const auto groups = constant_input(conv, 6);
  return groups && groups->toInt() == 1;
}

}  // namespace

int lower_input_batch_norm(Graph& graph, const Aliases& aliases) {
  int rewritten = 0;
  for (Node* norm : nodes_of_kind(graph, "aten::batch_norm")) {
    if (!normalises_data(norm)) continue;
    const auto use = norm->output()->uses()[0];
    Node* conv = use.user;
    if (use.offset != 0 || !is_plain_conv2d(conv) || conv->owningBlock() != norm->owningBlock()) continue;
    if (!aliases.may_move(norm, conv)) continue;
    Node* to_float = norm->input(0)->node();
    replace_node(conv, insert_tensor_node(
                           conv, "wasmgrad::input_norm_conv2d",
                           {to_float->input(0), to_float->input(1), to_float->input(2), norm->input(1),
                            norm->input(2), norm->input(3), norm->input(4), norm->input(6), norm->input(7),
                            conv->input(1), conv->input(2), conv->input(3), conv->input(4), conv->input(5)}));
    norm->destroy();
    to_float->destroy();
    ++rewritten;
  }
  return rewritten;
}

}  // namespace wasmgrad::training::lowering
