// Parameters and running statistics that a run leaves as they are. Torch header, private to training/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

struct FrozenSplit {
  std::vector<NamedTensor> trained;
  std::vector<at::Tensor> frozen;
  HeldParts held;  ///< the model's own, and the layers whose running statistics are frozen
};

/// Whether a buffer of this name is what batch norm and instance norm learn without gradients.
bool is_running_statistic(std::string_view attribute);

/// Splits the model's parameters. A layer one of whose running statistics matches is in evaluation mode.
/// Errors: kInvalidArgument when a pattern matches neither a parameter nor a running statistic, or all
/// parameters are frozen.
Expected<FrozenSplit> split_frozen(const TorchModel::Storage& model,
                                   const std::vector<std::string>& patterns);

/// Autograd computes nothing for the frozen parameters while this lives. They are trainable otherwise, so
/// that a saved model is not marked by the run.
class FrozenScope {
 public:
  explicit FrozenScope(const std::vector<at::Tensor>& frozen) : frozen_(frozen) { require(false); }
  FrozenScope(const FrozenScope&) = delete;
  FrozenScope& operator=(const FrozenScope&) = delete;
  ~FrozenScope() { require(true); }

 private:
  void require(bool gradient) const {
    for (const at::Tensor& parameter : frozen_) parameter.set_requires_grad(gradient);
  }
  const std::vector<at::Tensor>& frozen_;
};

}  // namespace wasmgrad::training
