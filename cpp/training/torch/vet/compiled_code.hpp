// What compile_and_walk leaves behind for check_conformance. The only header of vet/ that shows torch's
// types.
#pragma once

#include <ATen/core/jit_type.h>
#include <torch/csrc/jit/api/compilation_unit.h>

#include <exception>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wasmgrad/training/torch/vet/walker.hpp"

namespace wasmgrad::training::vet {

struct CompiledCode::State {
  std::shared_ptr<torch::jit::CompilationUnit> unit;
  std::vector<c10::IValue> constants;
  std::map<std::string, c10::ClassTypePtr> classes;  ///< modules only
};

/// The first sentence of a torch exception, without the stack trace and source excerpt behind it.
std::string first_sentence(const std::exception& error);

}  // namespace wasmgrad::training::vet
