// The form of a model's forward that training runs: normalises a batch as it lies in the dataset, then
// computes the outputs.
//
// Torch header, private to training/. It must not know optimizers, losses or datasets.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training::lowering {
struct WrittenState;
}

namespace wasmgrad::training {

/// Where the counter-based random numbers of a step come from: bit-identical for equal (seed, step).
struct StepRandom {
  std::uint64_t seed;
  std::uint64_t step;
};

/// What happens to an input before the model sees it.
struct InputTransform {
  enum class Kind : std::uint8_t {
    kFloat,      ///< x.to(f32) * scale + offset
    kInteger,    ///< x.to(i64): indices of embeddings
    kUntouched,  ///< x as it is: targets of a model that computes its own loss
  };

  double scale = 1;
  double offset = 0;
  Kind kind = Kind::kFloat;
};

/// An argument of `forward` that every call gives.
struct ProgramInput {
  std::string name;
  InputTransform transform;
};

/// What may be done to the graph of a training step.
struct Rewriting {
  bool for_speed = true;  ///< changes results by no more than rounding
  bool bf16 = false;      ///< products and convolutions in bfloat16, in training mode only
};

/// An argument of a module's `forward`, as it is declared.
struct ForwardArgument {
  std::string name;
  bool takes_tensor;  ///< Tensor or Optional[Tensor]
  bool has_default;   ///< may be left out
};

/// The arguments of `forward` in order, without self. Throws c10::Error when there is no `forward`.
std::vector<ForwardArgument> forward_arguments(const torch::jit::Module& module);

/// Those arguments without a default that nothing but the entry `loss` of what `forward` returns needs, as
/// specialize.hpp finds them; none where it cannot be told.
std::vector<std::string> loss_arguments(const torch::jit::Module& module);

class Program {
 public:
  /// Prepares the module's forward for calls that give `inputs`, in any order; the other arguments take their
  /// defaults. Shares the module's parameters and buffers as they are now: they may be written in place, not
  /// replaced. Never changes the module's graph. Errors: kInvalidArgument when an input is not an argument
  /// that takes a tensor, is given twice, or an argument without a default is missing, and when `forward`
  /// does not return a Tensor, a tuple or list of Tensors, or a Dict[str, Tensor]; kUnsupportedOperation when
  /// it cannot be prepared. Parts that are `held` are in evaluation mode in both forms. A loss that the model
  /// computes itself is left out, with what only it needs, when `without_loss`, and when an argument without
  /// a default is missing: that is no error if only the loss needs it. `adapters` are branches beside weights
  /// of the module.
  static Expected<Program> lower(const torch::jit::Module& module, std::span<const ProgramInput> inputs,
                                 const HeldParts& held = {}, bool without_loss = false,
                                 std::span<const Adapter> adapters = {}, Rewriting rewriting = {});

  /// Training-mode forward of one batch as it lies in the dataset (u8, f32, ...), in the order of lower().
  /// Outputs are named by the keys of a dict (which may differ from call to call), the fields of a named
  /// tuple, or else "0", "1", ... by position. Autograd is recorded. Throws c10::Error and what TorchScript
  /// throws. A model's own in-place operators may write to a batch that its transform leaves as it is.
  std::vector<NamedTensor> forward_train(std::span<const at::Tensor> inputs, StepRandom random);

  /// Evaluation-mode forward, no autograd. Whatever the model writes, its module is afterwards as it was.
  /// Throws as forward_train.
  std::vector<NamedTensor> forward_eval(std::span<const at::Tensor> inputs);

  /// What forward_train may change in the module.
  [[nodiscard]] const lowering::WrittenState& written() const;

 private:
  struct Mode;
  Program(std::shared_ptr<const Mode> training, std::shared_ptr<const Mode> evaluation)
      : training_(std::move(training)), evaluation_(std::move(evaluation)) {}

  std::shared_ptr<const Mode> training_;
  std::shared_ptr<const Mode> evaluation_;
};

}  // namespace wasmgrad::training
