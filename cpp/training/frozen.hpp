// Parameters that a run leaves as they are. Torch header, private to training/.
#pragma once

#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/model_storage.hpp"

namespace wasmgrad::training {

struct FrozenSplit {
  std::vector<NamedTensor> trained;
  std::vector<at::Tensor> frozen;
};

/// Errors: kInvalidArgument when a pattern matches no parameter, or all parameters are frozen.
Expected<FrozenSplit> split_frozen(std::vector<NamedTensor> parameters,
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
