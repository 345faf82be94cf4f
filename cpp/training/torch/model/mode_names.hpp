// How the two model formats name what depends on the mode. Without torch.
#pragma once

#include <string_view>

namespace wasmgrad::training {

/// Whether an operator's argument of this name says that it is in training mode.
constexpr bool is_mode_argument(std::string_view name) {
  return name == "training" || name == "train" || name == "use_input_stats";
}

/// Whether a class of this dotted name is a layer of torch.nn, which decides its mode by its own flag alone.
constexpr bool is_library_layer(std::string_view class_name) {
  return class_name.starts_with("torch.nn.modules.");
}

}  // namespace wasmgrad::training
