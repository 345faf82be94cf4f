#include "wasmgrad/training/torch/pt2/recorded_mode.hpp"

#include <algorithm>

#include "wasmgrad/training/torch/model/mode_names.hpp"

namespace wasmgrad::training::pt2 {
namespace {

/// How the node was recorded, if it is of an operator that has two modes.
std::optional<bool> mode_of(const Json& node) {
  for (const Json& input : array_member(node, "inputs")) {
    if (!is_mode_argument(text_member(input, "name"))) continue;
    const auto [tag, value] = to_union(member(input, "arg"));
    if (tag == "as_bool" && has_two_modes(node)) return to_bool(value);
  }
  return std::nullopt;
}

/// Calls visit(node) for every node, those of blocks too (gradient_block.cpp).
template <class Visit>
void for_each_node(const Json& nodes, const Visit& visit) {
  for (const Json& node : nodes) {
    visit(node);
    for (const Json& input : array_member(node, "inputs")) {
      const auto [tag, block] = to_union(member(input, "arg"));
      if (tag == "as_graph") for_each_node(array_member(member(block, "graph"), "nodes"), visit);
    }
  }
}

}  // namespace

bool has_two_modes(const Json& node) {
  return std::ranges::none_of(array_member(node, "inputs"), [](const Json& input) {
    if (text_member(input, "name") != "running_mean") return false;
    const auto [tag, value] = to_union(member(input, "arg"));
    return tag == "as_none" || (tag == "as_optional_tensor" && to_union(value).first == "as_none");
  });
}

std::optional<std::string> warning_of_fixed_mode(const Json& nodes) {
  int in_training = 0;
  int in_evaluation = 0;
  for_each_node(nodes, [&](const Json& node) {
    if (const std::optional<bool> mode = mode_of(node)) ++(*mode ? in_training : in_evaluation);
  });
  if (in_training > 0 || in_evaluation == 0) return std::nullopt;
  return "nothing in it was exported in training mode: its " +
         (in_evaluation == 1 ? std::string("operator that has a mode stays")
                             : std::to_string(in_evaluation) + " operators that have a mode stay") +
         " in evaluation mode while it trains, so that running statistics do not learn and dropout drops "
         "nothing; export model.train() for what is to follow the mode";
}

}  // namespace wasmgrad::training::pt2
