#include "wasmgrad/training/exported/recorded_mode.hpp"

#include <algorithm>

#include "wasmgrad/training/mode_names.hpp"

namespace wasmgrad::training::exported {
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

}  // namespace

bool has_two_modes(const Json& node) {
  return std::ranges::none_of(array_member(node, "inputs"), [](const Json& input) {
    if (text_member(input, "name") != "running_mean") return false;
    const auto [tag, value] = to_union(member(input, "arg"));
    return tag == "as_none" || (tag == "as_optional_tensor" && to_union(value).first == "as_none");
  });
}

std::optional<std::string> warning_of_fixed_mode(const Json& nodes) {
  int in_evaluation = 0;
  for (const Json& node : nodes) {
    const std::optional<bool> mode = mode_of(node);
    if (mode && *mode) return std::nullopt;
    if (mode) ++in_evaluation;
  }
  if (in_evaluation == 0) return std::nullopt;
  return "nothing in it was exported in training mode: its " +
         (in_evaluation == 1 ? std::string("operator that has a mode stays")
                             : std::to_string(in_evaluation) + " operators that have a mode stay") +
         " in evaluation mode while it trains, so that running statistics do not learn and dropout drops "
         "nothing; export model.train() for what is to follow the mode";
}

}  // namespace wasmgrad::training::exported
