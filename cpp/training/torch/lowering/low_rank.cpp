#include "wasmgrad/training/torch/lowering/low_rank.hpp"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "wasmgrad/training/torch/lowering/graph_edit.hpp"

namespace wasmgrad::training::lowering {

namespace {

/// A product of `x` with a weight.
struct Product {
  Node* node;
  Value* x;
  bool transposed;  ///< with the weight as it lies, [in, out]
};

bool is(const Node* node, const char* kind) { return node->kind() == symbol(kind); }

bool is_integer(const Node* node, std::size_t index, std::initializer_list<std::int64_t> allowed) {
  const auto value = constant_input(node, index);
  if (!value || !value->isInt()) return false;
  return std::ranges::find(allowed, value->toInt()) != allowed.end();
}

bool is_one(const Node* node, std::size_t index) {
  const auto value = constant_input(node, index);
  return value && value->isScalar() && value->toScalar().toDouble() == 1;
}

/// Whether the node gives its first input, a matrix, transposed.
bool transposes(const Node* node) {
  if (is(node, "aten::t") || is(node, "aten::numpy_T")) return true;
  if (is(node, "aten::transpose"))
    return (is_integer(node, 1, {0, -2}) && is_integer(node, 2, {1, -1})) ||
           (is_integer(node, 1, {1, -1}) && is_integer(node, 2, {0, -2}));
  if (!is(node, "aten::permute")) return false;
  const auto order = constant_input(node, 1);
  return order && order->isIntList() && order->toIntVector() == std::vector<std::int64_t>{1, 0};
}

/// The product x m where the use is m's as a matrix [in, out].
std::optional<Product> product_with(const torch::jit::Use& use) {
  Node* node = use.user;
  if ((is(node, "aten::mm") || is(node, "aten::matmul")) && use.offset == 1 &&
      node->input(0) != node->input(1))
    return Product{node, node->input(0), true};
  if (is(node, "aten::addmm") && use.offset == 2 && node->input(1) != node->input(2) && is_one(node, 4))
    return Product{node, node->input(1), true};
  return std::nullopt;
}

/// What a weight's users do: products, and all else.
struct Users {
  std::vector<Product> products;
  std::vector<torch::jit::Use> others;

  explicit Users(const Value* weight) {
    for (const torch::jit::Use& use : weight->uses()) add(use);
  }

 private:
  void add(const torch::jit::Use& use) {
    if (is(use.user, "aten::linear") && use.offset == 1) {
      products.push_back({use.user, use.user->input(0), false});
    } else if (auto product = product_with(use)) {
      products.push_back(*product);
    } else if (!add_transposed(use)) {
      others.push_back(use);
    }
  }

  bool add_transposed(const torch::jit::Use& use) {
    if (!transposes(use.user) || use.user->output()->uses().empty()) return false;
    std::vector<Product> found;
    for (const torch::jit::Use& next : use.user->output()->uses()) {
      auto product = product_with(next);
      if (!product) return false;
      found.push_back({product->node, product->x, false});
    }
    products.insert(products.end(), found.begin(), found.end());
    return true;
  }
};

/// Names a branch's inputs while a graph is edited.
struct Branch {
  Value* weight;
  Value* a;
  Value* b;
  double scale;
  bool transposed;
};

void add_to_product(const Branch& branch, const Product& product) {
  Node* after = product.node->next();
  Value* none = insert_constant_before(after, c10::IValue());
  Value* inner = insert_tensor_node(after, "aten::linear", {product.x, branch.a, none});
  Value* outer = insert_tensor_node(after, "aten::linear", {inner, branch.b, none});
  Value* scaled =
      insert_tensor_node(after, "aten::mul", {outer, insert_constant_before(after, branch.scale)});
  Value* whole = product.node->output();
  Value* one = insert_constant_before(after, std::int64_t{1});
  Value* sum = insert_tensor_node(after, "aten::add", {whole, scaled, one});
  whole->replaceAllUsesAfterNodeWith(sum->node(), sum);
}

void merge_for(const Branch& branch, const torch::jit::Use& use) {
  Node* user = use.user;
  Value* change = insert_tensor_node(user, "aten::matmul", {branch.b, branch.a});
  if (branch.transposed) change = insert_tensor_node(user, "aten::t", {change});
  Value* scaled = insert_tensor_node(user, "aten::mul", {change, insert_constant_before(user, branch.scale)});
  Value* one = insert_constant_before(user, std::int64_t{1});
  user->replaceInput(use.offset, insert_tensor_node(user, "aten::add", {branch.weight, scaled, one}));
}

}  // namespace

WeightUses weight_uses(const torch::jit::Module& module) {
  const Specialized specialized = specialize_for_any(module);
  const Graph& graph = *specialized.graph;
  const std::size_t first = graph.inputs().size() - specialized.captured.size();
  WeightUses found;
  for (std::size_t i = 0; i < specialized.captured.size(); ++i) {
    if (!specialized.captured[i].isTensor()) continue;
    const Users users(graph.inputs()[first + i]);
    // A shared weight is an input for each of its names.
    WeightUse& use = found[specialized.captured[i].toTensor().unsafeGetTensorImpl()];
    for (const Product& product : users.products) ++(product.transposed ? use.transposed : use.straight);
    use.others += users.others.size();
  }
  return found;
}

void add_branches(Specialized& specialized, std::span<const Adapter> adapters) {
  Graph& graph = *specialized.graph;
  const std::size_t count = specialized.captured.size();
  const std::size_t first = graph.inputs().size() - count;
  const auto captured = [&](const at::Tensor& tensor) {
    specialized.captured.emplace_back(tensor);
    return graph.addInput()->setType(c10::TensorType::get());
  };
  for (const Adapter& adapter : adapters) {
    for (std::size_t i = 0; i < count; ++i) {
      const c10::IValue& value = specialized.captured[i];
      if (!value.isTensor() || !value.toTensor().is_same(adapter.weight)) continue;
      Value* weight = graph.inputs()[first + i];
      const Users users(weight);
      if (users.products.empty() && users.others.empty()) continue;
      const Branch branch{weight, captured(adapter.a), captured(adapter.b), adapter.scale,
                          adapter.transposed};
      for (const Product& product : users.products) add_to_product(branch, product);
      for (const torch::jit::Use& use : users.others) merge_for(branch, use);
    }
  }
}

}  // namespace wasmgrad::training::lowering
