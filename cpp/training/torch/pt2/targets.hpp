// What a node of an exported graph calls, in TorchScript's names: operators of the allow-list, arithmetic on
// sizes, or nothing. Without torch.
#pragma once

#include <optional>
#include <string>

namespace wasmgrad::training::pt2 {

struct Target {
  std::string name;      ///< "aten::add"
  std::string overload;  ///< "Tensor", "" for the default one
  /// Arguments go by position, any overload: Python's own arithmetic.
  bool positional = false;
};

/// Nothing for the checks that torch.export adds and that give no result. Throws Refusal, naming what it is:
/// kSecurity for operators that are not on the allow-list, kUnsupportedOperation for higher-order ones
/// (GraphBuilder knows those that it takes).
std::optional<Target> target_of(const std::string& target);

}  // namespace wasmgrad::training::pt2
