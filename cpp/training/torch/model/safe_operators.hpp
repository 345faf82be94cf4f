// What a model may name but not run as torch does: memory as it was left, results written over other tensors,
// and embeddings whose largest norm TorchScript forgets. Torch header, private to training/.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace wasmgrad::training {

/// Changes all code that the module can reach. Uninitialised memory is zeros, so that no model sees what
/// others left there. A result for an existing tensor (out=), whose memory it would resize, raises an error
/// when it comes to it: code of torch.nn has such branches, which models do not take. Targets of a CTC loss
/// and batch sizes of packed sequences, by which kernels read memory, are checked.
void make_safe(const torch::jit::Module& module);

}  // namespace wasmgrad::training
