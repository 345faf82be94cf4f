#include "guest.hpp"
#include "wasmgrad/training/torch/backend.hpp"

namespace wasmgrad::test {

const training::Backend* backend() { return &training::torch_backend(); }

}  // namespace wasmgrad::test
