// Small TorchScript modules, and the comparison of a lowered program with TorchScript's own forward and
// autograd on them.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <initializer_list>
#include <string>

#include "wasmgrad/training/torch/model/program.hpp"

namespace wasmgrad::training::lowering {

/// A module under construction: parameters are uniform in -0.5..0.5 from a fixed seed.
class ModuleBuilder {
 public:
  ModuleBuilder();
  ModuleBuilder& parameter(const std::string& name, std::initializer_list<std::int64_t> sizes);
  ModuleBuilder& buffer(const std::string& name, const at::Tensor& value);
  /// The methods' source; `training` is an attribute.
  torch::jit::Module define(const std::string& source);

 private:
  torch::jit::Module module_;
};

/// Pixels 0..255 or standard normal numbers, from a fixed seed.
at::Tensor pixels(std::initializer_list<std::int64_t> sizes);
at::Tensor normals(std::initializer_list<std::int64_t> sizes);

/// The same module with parameters and buffers of its own.
torch::jit::Module copy_of(const torch::jit::Module& module);

/// A program of one input and one output.
struct SingleProgram {
  Program program;

  at::Tensor forward_train(const at::Tensor& batch, StepRandom random) {
    return program.forward_train({&batch, 1}, random).at(0).tensor;
  }
  at::Tensor forward_eval(const at::Tensor& batch) { return program.forward_eval({&batch, 1}).at(0).tensor; }
};

SingleProgram lower(const torch::jit::Module& module, InputTransform transform = {},
                    Rewriting rewriting = {});

/// Largest difference of any output, gradient, buffer and evaluation output from TorchScript's, each relative
/// to the largest element of what it is compared with. The module must not draw random numbers.
double difference(const torch::jit::Module& module, const at::Tensor& batch, InputTransform transform = {},
                  Rewriting rewriting = {});

/// The training graph after all passes has an operator of that name.
bool has_operator(const torch::jit::Module& module, const std::string& name, Rewriting rewriting = {});

}  // namespace wasmgrad::training::lowering
