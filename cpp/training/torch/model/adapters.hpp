// Low-rank branches beside the weights of a model, trained in place of them. Torch header, private to
// training/torch/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/options/low_rank.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

/// Gives `model` a branch beside every weight that one of `wanted` matches, the first that does, and that
/// linear layers or the attention of torch.nn use; biases, embeddings and others that match are passed over.
/// A starts as torch.nn.Linear does, drawn from the seed, and B with zeros, so that the model computes what
/// it did. A model that has those branches keeps them. Errors: kInvalidArgument when a pattern gives no
/// weight a branch, a rank is more than a weight has, or the model has other branches, or tensors of their
/// names.
Status add_adapters(TorchModel::Storage& model, const std::vector<LowRank>& wanted, std::uint64_t seed);

/// The model is what it was without them.
void remove_adapters(TorchModel::Storage& model);

/// The weights hold what they and their branches are together while this lives.
class MergedWeights {
 public:
  explicit MergedWeights(const TorchModel::Storage& model);
  MergedWeights(const MergedWeights&) = delete;
  MergedWeights& operator=(const MergedWeights&) = delete;
  ~MergedWeights();

 private:
  const std::vector<Adapter>& adapters_;
  std::vector<at::Tensor> before_;
};

}  // namespace wasmgrad::training
