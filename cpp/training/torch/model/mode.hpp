// What a TorchScript file says about modes: which parts follow a run's, which stay in evaluation mode, and
// which operators cannot follow. Torch header, private to training/.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

/// Parts whose flag was off when the whole was saved in training mode. None when the whole was saved in
/// evaluation mode: nothing is known then.
HeldParts held_in(const torch::jit::Module& module);

/// Tracing writes the mode of its day into the code. Layers of torch.nn are given back their flag, which the
/// saved model then follows too. Returns a sentence for each thing that cannot be mended.
std::vector<std::string> restore_mode(const torch::jit::Module& module);

}  // namespace wasmgrad::training
