// The training back end on libtorch. Public header without torch.
#pragma once

#include "wasmgrad/training/backend.hpp"

namespace wasmgrad::training {

/// Lives as long as the process.
const Backend& torch_backend();

}  // namespace wasmgrad::training
