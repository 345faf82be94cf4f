#include "wasmgrad/training/torch/lowering/grad_mode.hpp"

#include <unordered_map>
#include <vector>

#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/vet/grad_mode.hpp"

namespace wasmgrad::training::lowering {

namespace {

bool is_no_grad(const Value* value) {
  const auto type = value->type()->cast<c10::ClassType>();
  return type && type->name() && type->name()->qualifiedName() == vet::kNoGrad;
}

void collect_users(Block* block, std::vector<Node*>& found) {
  for (Node* node : block->nodes()) {
    if (!node->inputs().empty() && is_no_grad(node->input(0))) found.push_back(node);
    for (Block* inner : node->blocks()) collect_users(inner, found);
  }
}

void switch_gradients(Node* place, Value* on) {
  place->owningGraph()->create(symbol("aten::set_grad_enabled"), {on}, 0)->insertBefore(place);
}

}  // namespace

void call_no_grad(Graph& graph) {
  std::unordered_map<Value*, Value*> before;  // each object, and whether gradients were on
  std::vector<Node*> users;
  collect_users(graph.block(), users);
  for (Node* user : users) {
    if (user->kind() == c10::prim::Enter) {
      Node* enabled = graph.create(symbol("aten::is_grad_enabled"), 1)->insertBefore(user);
      enabled->output()->setType(c10::BoolType::get());
      before[user->input(0)] = enabled->output();
      switch_gradients(user, insert_constant_before(user, false));
      user->output()->replaceAllUsesWith(insert_constant_before(user, c10::IValue()));
    } else if (user->kind() == c10::prim::Exit) {
      switch_gradients(user, before.at(user->input(0)));
    } else if (user->kind() != c10::prim::SetAttr) {
      continue;
    }
    user->destroy();
  }
}

}  // namespace wasmgrad::training::lowering
