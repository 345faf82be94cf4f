#include "wasmgrad/training/torch/loop/frozen.hpp"

#include <algorithm>
#include <utility>

#include "wasmgrad/training/loop/glob.hpp"

namespace wasmgrad::training {

namespace {

/// Holds the layers one of whose running statistics matches. Returns whether there is one.
bool hold_statistics(const TorchModel::Storage& model, const std::string& pattern, HeldParts& held) {
  bool matched = false;
  for (const auto& part : model.module.named_modules()) {
    for (const auto& buffer : part.value.named_buffers(/*recurse=*/false)) {
      if (!is_running_statistic(buffer.name)) continue;
      const std::string name = (part.name.empty() ? "" : part.name + ".") + buffer.name;
      const auto own = model.names.tensors.find(name);
      if (!glob_matches(pattern, own == model.names.tensors.end() ? name : own->second)) continue;
      held.flags.insert(part.value._ivalue().get());
      held.statistics.insert(part.value._ivalue().get());
      matched = true;
    }
  }
  return matched;
}

}  // namespace

bool is_running_statistic(std::string_view attribute) {
  return attribute == "running_mean" || attribute == "running_var";
}

Expected<FrozenSplit> split_frozen(const TorchModel::Storage& model,
                                   const std::vector<std::string>& patterns) {
  std::vector<NamedTensor> parameters = model.trainable();
  FrozenSplit split;
  if (!model.adapters.empty()) {
    for (NamedTensor& entry : parameters) split.frozen.push_back(std::move(entry.tensor));
    parameters = model.branches();
  }
  std::vector<bool> frozen(parameters.size(), false);
  split.held = model.held;
  for (const std::string& pattern : patterns) {
    bool matched = hold_statistics(model, pattern, split.held);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!glob_matches(pattern, parameters[i].name)) continue;
      frozen[i] = matched = true;
    }
    if (!matched) {
      return Error{Errc::kInvalidArgument, "no trainable parameter and no running statistic matches '" +
                                               pattern + "', which is to be frozen"};
    }
  }
  if (std::ranges::all_of(frozen, [](bool is_frozen) { return is_frozen; }))
    return Error{Errc::kInvalidArgument, "all parameters are frozen; at least one must be trained"};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (frozen[i]) {
      split.frozen.push_back(std::move(parameters[i].tensor));
    } else {
      split.trained.push_back(std::move(parameters[i]));
    }
  }
  return split;
}

}  // namespace wasmgrad::training
