// Embeddings with a largest norm (`max_norm`). Torch header, private to training/.
#pragma once

#include <torch/csrc/jit/api/function_impl.h>

namespace wasmgrad::training {

/// Scales the rows that are looked up to their largest norm, in place and apart from gradients, as torch does
/// in `torch.nn.functional.embedding` and `embedding_bag`. `torch.jit.script` drops that call: its result is
/// not used. Does nothing to other functions.
void restore_max_norm(torch::jit::Function& function);

}  // namespace wasmgrad::training
