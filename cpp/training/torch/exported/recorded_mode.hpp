// The mode that an exported program was recorded in, as its nodes show it. Without torch.
#pragma once

#include <optional>
#include <string>

#include "wasmgrad/training/torch/exported/json.hpp"

namespace wasmgrad::training::exported {

/// Whether a node that has a mode acts differently in the two: batch statistics are all there is without
/// running ones.
bool has_two_modes(const Json& node);

class RecordedMode {
 public:
  /// Of the graph's nodes. Throws Refusal.
  explicit RecordedMode(const Json& nodes);

  /// Whether the node, recorded as `training` says, follows the mode of a run. One recorded in evaluation
  /// mode stays in it, unless the whole program was and the node is that of a layer of torch.nn, whose flag
  /// alone decides.
  [[nodiscard]] bool follows(const Json& node, bool training) const;

  /// What of it training cannot follow, or need not have been meant.
  [[nodiscard]] std::optional<std::string> warning() const;

 private:
  bool in_training_ = false;
  int layers_ = 0;  ///< nodes of layers of torch.nn recorded in evaluation mode
  int calls_ = 0;   ///< others recorded in evaluation mode
};

}  // namespace wasmgrad::training::exported
