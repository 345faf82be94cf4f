// `with torch.no_grad():` in a graph of its own. Torch header.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

namespace wasmgrad::training::lowering {

/// Blocks under torch.no_grad() begin and end with calls that switch gradients, in place of an object's
/// methods. The graph is inlined. Whoever runs it restores the mode, which an exception leaves off.
void call_no_grad(torch::jit::Graph& graph);

}  // namespace wasmgrad::training::lowering
