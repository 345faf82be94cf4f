// The form of a model's forward that training runs: normalises a batch as it lies in the dataset, then
// computes the output.
//
// Torch header, private to training/. It must not know optimizers, losses or datasets.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

/// Where the counter-based random numbers of a step come from: bit-identical for equal (seed, step).
struct StepRandom {
  std::uint64_t seed;
  std::uint64_t step;
};

/// x.to(f32) * scale + offset.
struct InputTransform {
  double scale;
  double offset;
};

class Program {
 public:
  /// Prepares the module's forward for training. Shares the module's parameters and buffers as they are now:
  /// they may be written in place, not replaced. Never changes the module's graph. Errors: kInvalidArgument
  /// when `forward` does not take exactly one tensor; kUnsupportedOperation when it cannot be prepared.
  static Expected<Program> lower(const torch::jit::Module& module, InputTransform transform);
  /// Training-mode forward of one batch as it lies in the dataset (u8, f32, ...). Autograd is recorded.
  /// Throws c10::Error and what TorchScript throws. A model's own in-place operators may write to an f32
  /// batch.
  at::Tensor forward_train(const at::Tensor& batch, StepRandom random);
  /// Evaluation-mode forward, no autograd. Throws as forward_train.
  at::Tensor forward_eval(const at::Tensor& batch);

 private:
  struct Mode;
  Program(std::shared_ptr<const Mode> training, std::shared_ptr<const Mode> evaluation)
      : training_(std::move(training)), evaluation_(std::move(evaluation)) {}

  std::shared_ptr<const Mode> training_;
  std::shared_ptr<const Mode> evaluation_;
};

}  // namespace wasmgrad::training
