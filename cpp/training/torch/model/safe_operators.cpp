#include "wasmgrad/training/torch/model/safe_operators.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/training/torch/lowering/graph_edit.hpp"
#include "wasmgrad/training/torch/model/embedding_norm.hpp"
#include "wasmgrad/training/torch/vet/operators.hpp"

namespace wasmgrad::training {
namespace {

using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

struct Filled {
  const char* name;
  const char* with_zeros;
  std::size_t arguments;  ///< that both take; `zeros` is always contiguous
};

constexpr std::array kFilled = {Filled{"aten::empty", "aten::zeros", 5},
                                Filled{"aten::empty_like", "aten::zeros_like", 6},
                                Filled{"aten::new_empty", "aten::new_zeros", 6}};

void fill_with_zeros(Graph& graph) {
  for (const Filled& filled : kFilled) {
    for (Node* node : lowering::nodes_of_kind(graph, filled.name)) {
      const auto arguments = node->inputs().slice(0, filled.arguments);
      lowering::replace_node(node, lowering::insert_tensor_node(node, filled.with_zeros, arguments));
    }
  }
}

void collect(torch::jit::Block* block, std::vector<Node*>& nodes) {
  for (Node* node : block->nodes()) {
    nodes.push_back(node);
    for (torch::jit::Block* inner : node->blocks()) collect(inner, nodes);
  }
}

/// At the insert point: an exception where `wrong`, a truth value, holds.
void raise_if(Graph& graph, Value* wrong, const char* message) {
  Node* branch = graph.insertNode(graph.create(c10::prim::If, {wrong}, 0));
  {
    const torch::jit::WithInsertPoint inside(branch->addBlock());
    graph.insert(c10::prim::RaiseException, {message});
  }
  branch->addBlock();
}

/// The kernel of a CTC loss checks every length, but no target.
void check_ctc_targets(Graph& graph) {
  for (Node* node : lowering::nodes_of_kind(graph, "aten::ctc_loss")) {
    const torch::jit::WithInsertPoint before(node);
    Value* targets = node->input(1);
    Value* classes = graph.insert(c10::aten::size, {node->input(0), -1});
    Value* below = graph.insert(c10::aten::lt, {targets, 0});
    Value* beyond = graph.insert(c10::aten::ge, {targets, classes});
    Value* wrong = graph.insert(c10::aten::any, {graph.insert(c10::aten::logical_or, {below, beyond})});
    raise_if(graph, graph.insert(c10::aten::Bool, {wrong}), "ctc_loss: a target is not one of the classes");
  }
}

/// Kernels of packed sequences read and write memory by their batch sizes, and check nothing of them.
void check_batch_sizes(Graph& graph, Node* node) {
  constexpr const char* kMessage =
      "a packed sequence: its batch sizes are not whole numbers from 1 that never rise";
  const torch::jit::WithInsertPoint before(node);
  Value* sizes = graph.insert(c10::aten::contiguous, {node->input(1)});
  Value* shaped = graph.insert(c10::aten::ne, {graph.insert(c10::aten::dim, {sizes}), 1});
  Value* empty = graph.insert(c10::aten::eq, {graph.insert(c10::aten::numel, {sizes}), 0});
  raise_if(graph, graph.insert(c10::aten::__or__, {shaped, empty}), kMessage);
  Value* low = graph.insert(c10::aten::any, {graph.insert(c10::aten::lt, {sizes, 1})});
  Value* later = graph.insert(c10::aten::slice, {sizes, 0, 1});
  Value* earlier = graph.insert(c10::aten::slice, {sizes, 0, 0, -1});
  Value* rises = graph.insert(c10::aten::any, {graph.insert(c10::aten::gt, {later, earlier})});
  raise_if(graph, graph.insert(c10::aten::Bool, {graph.insert(c10::aten::logical_or, {low, rises})}),
           kMessage);
  node->replaceInput(1, sizes);
}

void check_packed_sequences(Graph& graph) {
  for (Node* node : lowering::nodes_of_kind(graph, "aten::_pad_packed_sequence"))
    check_batch_sizes(graph, node);
  for (const char* kind : {"aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"})
    for (Node* node : lowering::nodes_of_kind(graph, kind))
      if (node->schema().overload_name() == "data") check_batch_sizes(graph, node);
}

void refuse_when_run(Graph& graph, Node* node) {
  const torch::jit::WithInsertPoint before(node);
  graph.insert(c10::prim::RaiseException, {std::string(node->kind().toUnqualString()) +
                                           " with out= is not supported: results are new tensors"});
  const std::size_t out = node->schema().arguments().size() - 1;
  lowering::replace_node(node, node->input(out));
}

}  // namespace

void make_safe(const torch::jit::Module& module) {
  std::vector<torch::jit::Function*> functions;
  for (const torch::jit::Module& part : module.modules())
    for (const torch::jit::Method& method : part.get_methods()) functions.push_back(&method.function());
  std::set<const torch::jit::Function*> seen;
  while (!functions.empty()) {
    torch::jit::Function* function = functions.back();
    functions.pop_back();
    if (!seen.insert(function).second) continue;
    restore_max_norm(*function);
    Graph& graph = *torch::jit::toGraphFunction(*function).graph();
    fill_with_zeros(graph);
    check_ctc_targets(graph);
    check_packed_sequences(graph);
    std::vector<Node*> nodes;
    collect(graph.block(), nodes);
    for (Node* node : nodes) {
      if (node->kind() == c10::prim::CallFunction)
        functions.push_back(node->input(0)->type()->expectRef<c10::FunctionType>().function());
      const c10::FunctionSchema* schema = node->maybeSchema();
      if (schema != nullptr && !vet::overload_allowed(schema->overload_name())) refuse_when_run(graph, node);
    }
  }
}

}  // namespace wasmgrad::training
