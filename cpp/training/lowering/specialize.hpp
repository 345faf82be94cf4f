// From a module's `forward` to a graph of its own: inlined, for one mode, with the module's tensors as extra
// inputs. Torch header.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <memory>
#include <vector>

namespace wasmgrad::training::lowering {

struct Specialized {
  std::shared_ptr<torch::jit::Graph> graph;
  /// Values of the graph's inputs after the first (the batch): the module's own tensors, shared, not copied.
  std::vector<c10::IValue> captured;
};

/// `training` is what every submodule's flag reads as. The module stays as it is. Throws c10::Error when
/// `forward` does not take exactly one argument without a default.
Specialized specialize(const torch::jit::Module& module, bool training);

}  // namespace wasmgrad::training::lowering
