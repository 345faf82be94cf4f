// Which argument of a model each input is for, and which output each target: by name or by position. Torch
// header, private to training/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/options/options.hpp"
#include "wasmgrad/training/torch/data/epoch_batches.hpp"
#include "wasmgrad/training/torch/loop/loss.hpp"
#include "wasmgrad/training/torch/model/program.hpp"

namespace wasmgrad::training {

/// The arguments that these columns are given to: the inputs, then, for a model that computes its own loss,
/// the targets. Errors: kInvalidArgument for a name that is no argument, or more columns than arguments.
Expected<std::vector<ProgramInput>> bind_arguments(const std::vector<ForwardArgument>& arguments,
                                                   const TrainerOptions& options,
                                                   const std::vector<NamedTensor>& inputs,
                                                   const std::vector<NamedTensor>& targets);

/// What a program so bound is run on.
std::vector<at::Tensor> program_inputs(const TrainerOptions& options, const Batch& batch);

/// A loss that is computed here.
struct BoundLoss {
  std::string output;
  std::size_t target = 0;  ///< index in the batch's targets
  LossKind kind = LossKind::kCrossEntropyLogits;
  double weight = 1;
  Loss function;
};

/// The losses over a model's outputs, in the outputs' order, never none. Errors: kInvalidArgument when an
/// output or a target has no counterpart.
Expected<std::vector<BoundLoss>> bind_losses(const TrainerOptions& options,
                                             const std::vector<NamedTensor>& outputs,
                                             const std::vector<NamedTensor>& targets);

/// The output of this name. Errors: kInvalidArgument, naming those there are.
Expected<at::Tensor> output_named(const std::vector<NamedTensor>& outputs, const std::string& name);

/// The loss that a model computed itself: a scalar. Errors: kInvalidArgument when there is none.
Expected<at::Tensor> own_loss(const std::vector<NamedTensor>& outputs);

/// Whether every InputScale names an argument. Errors: kInvalidArgument.
Status check_scales(const std::vector<ForwardArgument>& arguments, const TrainerOptions& options);

}  // namespace wasmgrad::training
