#include "wasmgrad/training/frozen.hpp"

#include <algorithm>
#include <utility>

#include "wasmgrad/training/glob.hpp"

namespace wasmgrad::training {

Expected<FrozenSplit> split_frozen(std::vector<NamedTensor> parameters,
                                   const std::vector<std::string>& patterns) {
  std::vector<bool> frozen(parameters.size(), false);
  for (const std::string& pattern : patterns) {
    bool matched = false;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!glob_matches(pattern, parameters[i].name)) continue;
      frozen[i] = matched = true;
    }
    if (!matched) {
      return Error{Errc::kInvalidArgument,
                   "no trainable parameter matches '" + pattern + "', which is to be frozen"};
    }
  }
  if (std::ranges::all_of(frozen, [](bool is_frozen) { return is_frozen; }))
    return Error{Errc::kInvalidArgument, "all parameters are frozen; at least one must be trained"};
  FrozenSplit split;
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
