// A tensor's elements in the types of the kernels. Torch header.
#pragma once

#include <ATen/core/Tensor.h>

#include "wasmgrad/training/torch/kernels/bf16.hpp"

namespace wasmgrad::training::kernels {

/// Of a tensor of that type, float or Bf16.
template <class Element>
Element* elements(const at::Tensor& tensor) {
  return static_cast<Element*>(tensor.mutable_data_ptr());
}

}  // namespace wasmgrad::training::kernels
