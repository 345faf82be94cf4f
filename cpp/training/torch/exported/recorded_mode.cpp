#include "wasmgrad/training/torch/exported/recorded_mode.hpp"

#include <algorithm>
#include <string_view>

#include "wasmgrad/training/torch/model/mode_names.hpp"

namespace wasmgrad::training::exported {
namespace {

/// The class of the innermost module that called the operator: the last of "key,path,class;key,path,class".
std::string_view calling_class(const Json& node) {
  const auto metadata = node.find("metadata");
  if (metadata == node.end() || !metadata->is_object()) return {};
  const auto stack = metadata->find("nn_module_stack");
  if (stack == metadata->end() || !stack->is_string()) return {};
  const std::string_view text = stack->get_ref<const std::string&>();
  const std::size_t last = text.find_last_of(",;");
  return last == std::string_view::npos ? text : text.substr(last + 1);
}

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

RecordedMode::RecordedMode(const Json& nodes) {
  for (const Json& node : nodes) {
    const std::optional<bool> mode = mode_of(node);
    if (!mode) continue;
    if (*mode) {
      in_training_ = true;
    } else {
      ++(is_library_layer(calling_class(node)) ? layers_ : calls_);
    }
  }
}

bool RecordedMode::follows(const Json& node, bool training) const {
  return training || (!in_training_ && is_library_layer(calling_class(node)));
}

std::optional<std::string> RecordedMode::warning() const {
  if (in_training_ || layers_ + calls_ == 0) return std::nullopt;
  std::string text = "nothing in it was exported in training mode";
  if (layers_ > 0) {
    text +=
        "; its layers of torch.nn, such as batch norm and dropout, follow the mode all the same (freeze "
        "their "
        "running statistics if they are to stay), but attention dropout and what else it decided by "
        "self.training are not in it";
  }
  if (calls_ > 0) {
    text += "; the mode of " + std::to_string(calls_) +
            (calls_ == 1 ? " operator that was called with training=False is fixed, and it stays"
                         : " operators that were called with training=False is fixed, and they stay") +
            " in evaluation mode";
  }
  return text + "; export model.train() to keep the mode open";
}

}  // namespace wasmgrad::training::exported
