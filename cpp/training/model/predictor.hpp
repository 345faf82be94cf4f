// Runs a vetted model forward: tensors in as they are, tensors out.
//
// Evaluation mode, no autograd, no scaling of inputs; buffers that the model writes to are put back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/tensor_view.hpp"
#include "wasmgrad/training/model/output.hpp"

namespace wasmgrad::training {

/// An argument of the model's `forward` that takes a tensor.
struct PredictorInput {
  std::string name;
  bool required =
      true;  ///< false: it has a default, or only the entry `loss` of what forward returns needs it
};

class Predictor {
 public:
  Predictor() = default;
  virtual ~Predictor() = default;

  /// In the order of `forward`'s arguments; those of other types keep their defaults.
  [[nodiscard]] virtual const std::vector<PredictorInput>& inputs() const noexcept = 0;

  /// `inputs` go to the arguments of their names, or by position when none has a name. `forward` may return a
  /// Tensor, or a tuple, list or Dict[str, Tensor] of them. Without an input that only the entry `loss` of a
  /// dict or named tuple needs, that entry is left out. Errors: kInvalidArgument when another input is
  /// missing, or one is unknown or given twice; kUnsupportedOperation when the model returns something else;
  /// kTooLarge when the outputs have more than `max_output_bytes`; kRuntimeError when the model fails, as it
  /// does for shapes and types that it cannot use.
  [[nodiscard]] virtual Expected<std::vector<Output>> run(std::span<const TensorView> inputs,
                                                          std::uint64_t max_output_bytes) const = 0;

  /// Size of parameters and buffers.
  [[nodiscard]] virtual std::uint64_t model_bytes() const = 0;

 protected:
  Predictor(Predictor&&) = default;
  Predictor& operator=(Predictor&&) = default;
};

}  // namespace wasmgrad::training
