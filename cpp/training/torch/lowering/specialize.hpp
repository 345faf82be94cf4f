// From a module's `forward` to a graph of its own: inlined, for one mode, with the module's tensors as extra
// inputs. Torch header.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/training/torch/model/program.hpp"

namespace wasmgrad::training::lowering {

struct Specialized {
  std::shared_ptr<torch::jit::Graph> graph;
  /// Values of the graph's inputs after the program's own: the module's tensors, shared, not copied.
  std::vector<c10::IValue> captured;
  /// The entry `loss` was taken out of what it returns, with what only that needs.
  bool without_loss = false;
};

/// Dropout that drops nothing gives way to its input, and type_as to an operator whose schema says that it
/// may return its argument.
void name_identities(torch::jit::Graph& graph);

/// `inputs` become the graph's first inputs, in their order; the other arguments of `forward` their defaults.
/// `without_loss`, or an argument that is neither given nor has a default, takes the entry `loss` out.
/// `training` is what the flag of every part reads as that is not `held`. The module stays as it is. Throws
/// c10::Error when inputs and arguments do not fit.
Specialized specialize(const torch::jit::Module& module, std::span<const ProgramInput> inputs, bool training,
                       const HeldParts& held = {}, bool without_loss = false);

/// The graph of a training step for inputs that nobody has said yet: to be looked at, not run. Throws
/// c10::Error.
Specialized specialize_for_any(const torch::jit::Module& module);

/// The arguments of `forward` without a default that nothing but the entry `loss` of what it returns needs in
/// evaluation mode. Throws c10::Error.
std::vector<std::string> loss_arguments(const torch::jit::Module& module);

}  // namespace wasmgrad::training::lowering
