// The shape of what an exported program returns: its "tree specification", as far as training takes it.
//
// Torch header. It must not know archives.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <string>
#include <vector>

namespace wasmgrad::training::pt2 {

/// Packs tensors as the specification (JSON text) says: one alone, all in a tuple where only tuples and lists
/// hold them, else in a dict, whose keys are the way to each, joined by dots. A null pointer stands for an
/// output that is nothing, which is left out. Throws Refusal for anything else.
torch::jit::Value* pack_outputs(torch::jit::Graph& graph, const std::vector<torch::jit::Value*>& outputs,
                                const std::string& specification);

}  // namespace wasmgrad::training::pt2
