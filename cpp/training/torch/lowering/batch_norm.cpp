// Training-mode batch norm, and what adds to its result and clamps it: a residual block's end in one pass
// over memory.
#include <algorithm>
#include <limits>
#include <optional>

#include "wasmgrad/training/torch/lowering/aliases.hpp"
#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/lowering/passes.hpp"

namespace wasmgrad::training::lowering {
namespace {

bool is_kind(const Node* node, const char* kind, const char* in_place) {
  return node->kind() == symbol(kind) || node->kind() == symbol(in_place);
}

/// The only user of a node's result, if it is in the same block.
Node* only_user(Node* node) {
  if (node->output()->uses().size() != 1) return nullptr;
  Node* user = node->output()->uses()[0].user;
  return user->owningBlock() == node->owningBlock() ? user : nullptr;
}

/// Up to what an activation lets pass what is above 0; nothing for other operators.
std::optional<double> upper_end(const Node* node) {
  if (is_kind(node, "aten::relu", "aten::relu_")) return std::numeric_limits<double>::infinity();
  if (is_kind(node, "aten::relu6", "aten::relu6_")) return 6;
  if (!is_kind(node, "aten::hardtanh", "aten::hardtanh_")) return std::nullopt;
  const auto lowest = constant_input(node, 1);
  const auto highest = constant_input(node, 2);
  if (!lowest || !highest || lowest->toScalar().toDouble() != 0 || highest->toScalar().toDouble() <= 0)
    return std::nullopt;
  return highest->toScalar().toDouble();
}

/// A norm and the operators behind it that it takes over.
struct Ending {
  Node* norm;
  Node* sum = nullptr;
  Node* activation = nullptr;
  std::size_t residual = 0;  ///< which input of the sum is added to the norm
  double upper = 0;

  [[nodiscard]] Node* last() const {
    return activation != nullptr ? activation : sum != nullptr ? sum : norm;
  }
};

/// add(a, b, alpha), where `norm` gives a, or b if nothing is written to a.
void take_sum(Ending& ending, const Aliases& aliases) {
  Node* sum = only_user(ending.norm);
  if (sum == nullptr || !is_kind(sum, "aten::add", "aten::add_") || sum->inputs().size() != 3) return;
  const bool first = sum->input(0) == ending.norm->output();
  Value* other = sum->input(first ? 1 : 0);
  const auto alpha = constant_input(sum, 2);
  if ((!first && sum->kind() == symbol("aten::add_")) || other->type()->kind() != c10::TypeKind::TensorType ||
      !alpha || alpha->toScalar().toDouble() != 1 || !aliases.may_move(ending.norm, sum))
    return;
  ending.sum = sum;
  ending.residual = first ? 1 : 0;
}

Ending ending_of(Node* norm, const Aliases& aliases) {
  Ending ending{norm};
  take_sum(ending, aliases);
  Node* user = only_user(ending.last());
  if (user == nullptr || user->inputs().empty() || user->input(0) != ending.last()->output()) return ending;
  if (const auto upper = upper_end(user)) {
    ending.activation = user;
    ending.upper = *upper;
  }
  return ending;
}

/// aten::batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled)
void rewrite(const Ending& ending) {
  Node* norm = ending.norm;
  Node* place = ending.sum != nullptr ? ending.sum : norm;
  std::vector<Value*> inputs(norm->inputs().begin(), norm->inputs().begin() + 5);
  inputs.push_back(norm->input(6));
  inputs.push_back(norm->input(7));
  inputs.push_back(ending.sum != nullptr ? ending.sum->input(ending.residual)
                                         : insert_constant_before(place, c10::IValue()));
  inputs.push_back(insert_constant_before(place, ending.activation != nullptr));
  inputs.push_back(insert_constant_before(place, ending.upper));
  ending.last()->output()->replaceAllUsesWith(insert_tensor_node(place, "wasmgrad::batch_norm", inputs));
  for (Node* node : {ending.activation, ending.sum, norm})
    if (node != nullptr) node->destroy();
}

}  // namespace

int lower_batch_norm(Graph& graph, const Aliases& aliases) {
  std::vector<Ending> endings;
  std::vector<const Node*> taken;
  for (Node* norm : nodes_of_kind(graph, "aten::batch_norm")) {
    const auto training = constant_input(norm, 5);
    if (!training || !training->isBool() || !training->toBool()) continue;
    Ending ending = ending_of(norm, aliases);
    // Of two norms that are added to each other, the first takes the sum.
    if (std::find(taken.begin(), taken.end(), ending.sum) != taken.end()) ending = {norm};
    if (ending.sum != nullptr) taken.push_back(ending.sum);
    endings.push_back(ending);
  }
  for (const Ending& ending : endings) rewrite(ending);
  return static_cast<int>(endings.size());
}

}  // namespace wasmgrad::training::lowering
