// What a model returned, without torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wasmgrad/base/tensor_view.hpp"

namespace wasmgrad::training {

/// One output of a model, dense and row-major, in the type that the model gave it (truth values as u8).
struct Output {
  std::string name;  ///< a key of the model's dict, a field of its named tuple, or its position
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

}  // namespace wasmgrad::training
