// The mode that an exported program was recorded in, as its nodes show it. Without torch.
//
// What was recorded in training mode follows the mode of a run, what was recorded in evaluation mode stays in
// it: the file is the same whether the whole model was in evaluation mode or each of its layers was meant to
// be.
#pragma once

#include <optional>
#include <string>

#include "wasmgrad/training/torch/pt2/json.hpp"

namespace wasmgrad::training::pt2 {

/// Whether a node that has a mode acts differently in the two: batch statistics are all there is without
/// running ones.
bool has_two_modes(const Json& node);

/// For a program whose nodes have modes and are all in evaluation mode, which need not have been meant.
std::optional<std::string> warning_of_fixed_mode(const Json& nodes);

}  // namespace wasmgrad::training::pt2
