// What a run of a specialised graph may leave changed in its module: batch statistics, counters, queues.
//
// A superset: what is listed may be written, what is not listed never is. Torch header.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/module.h>

#include <cstddef>
#include <vector>

#include "wasmgrad/training/torch/lowering/specialize.hpp"

namespace wasmgrad::training::lowering {

/// An attribute of a module that is read and assigned where it lies.
struct Attribute {
  c10::intrusive_ptr<c10::ivalue::Object> object;
  std::size_t slot;
};

struct WrittenState {
  std::vector<at::Tensor> tensors;    ///< whose values may change in place
  std::vector<Attribute> attributes;  ///< that may be replaced, or whose contents may change
};

/// For a graph as specialize() gives it, before any other rewrite.
WrittenState written_state(const Specialized& specialized, const torch::jit::Module& module);

}  // namespace wasmgrad::training::lowering
