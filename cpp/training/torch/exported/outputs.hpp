// The shape of what an exported program returns: its "tree specification", as far as training takes it.
//
// Torch header. It must not know archives.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <string>
#include <vector>

namespace wasmgrad::training::exported {

/// Packs tensors as the specification (JSON text) says: one alone, a tuple or list, or a dict with text keys.
/// Throws Refusal for anything else.
torch::jit::Value* pack_outputs(torch::jit::Graph& graph, const std::vector<torch::jit::Value*>& outputs,
                                const std::string& specification);

}  // namespace wasmgrad::training::exported
