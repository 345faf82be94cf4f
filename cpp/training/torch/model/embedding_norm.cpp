#include "wasmgrad/training/torch/model/embedding_norm.hpp"

#include <torch/csrc/jit/ir/ir.h>

#include <array>
#include <optional>
#include <string>

#include "wasmgrad/training/torch/lowering/graph_edit.hpp"

namespace wasmgrad::training {
namespace {

using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

constexpr const char* kRenorm = "aten::embedding_renorm_";

bool looks_up_rows(const std::string& name) {
  return name == "__torch__.torch.nn.functional.embedding" ||
         name == "__torch__.torch.nn.functional.embedding_bag";
}

/// The arguments of these names, if the function has them all.
std::optional<std::array<Value*, 4>> arguments_of(const torch::jit::Function& function, Graph& graph) {
  constexpr std::array<const char*, 4> kNames = {"weight", "input", "max_norm", "norm_type"};
  std::array<Value*, 4> values{};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const auto index = function.getSchema().argumentIndexWithName(kNames[i]);
    if (!index) return std::nullopt;
    values[i] = graph.inputs()[static_cast<std::size_t>(*index)];
  }
  return values;
}

}  // namespace

void restore_max_norm(torch::jit::Function& function) {
  if (!looks_up_rows(function.qualname().qualifiedName())) return;
  Graph& graph = *torch::jit::toGraphFunction(function).graph();
  const auto arguments = arguments_of(function, graph);
  if (!arguments || !lowering::nodes_of_kind(graph, kRenorm).empty()) return;
  const auto [weight, rows, max_norm, norm_type] = *arguments;
  if (*max_norm->type() != *c10::OptionalType::create(c10::FloatType::get())) return;
  const torch::jit::WithInsertPoint first(*graph.nodes().begin());
  Value* given = graph.insert(c10::aten::__isnot__, {max_norm, graph.insertConstant(c10::IValue())});
  Node* branch = graph.insertNode(graph.create(c10::prim::If, {given}, 0));
  {
    const torch::jit::WithInsertPoint inside(branch->addBlock());
    Value* limit = graph.insertUncheckedCast(max_norm, c10::FloatType::get());
    Value* values = graph.insert(c10::aten::detach, {weight});
    graph.insert(c10::Symbol::fromQualString(kRenorm), {values, rows, limit, norm_type});
  }
  branch->addBlock();
}

}  // namespace wasmgrad::training
