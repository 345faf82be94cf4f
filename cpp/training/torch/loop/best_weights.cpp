#include "wasmgrad/training/torch/loop/best_weights.hpp"

#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <utility>

namespace wasmgrad::training {

std::vector<at::Tensor> BestWeights::room_for(const std::vector<NamedTensor>& model) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> tensors;
  for (const NamedTensor& entry : model) tensors.push_back(at::empty_like(entry.tensor.detach()));
  return tensors;
}

void BestWeights::keep(const std::vector<NamedTensor>& model) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> kept;
  for (const NamedTensor& entry : model) kept.push_back(entry.tensor.detach().clone());
  tensors_ = std::move(kept);
}

void BestWeights::show(const std::vector<NamedTensor>& model) {
  if (!shown_ && !tensors_.empty()) swap(model);
}

void BestWeights::hide(const std::vector<NamedTensor>& model) {
  if (shown_) swap(model);
}

void BestWeights::adopt(const std::vector<NamedTensor>& model) {
  if (!shown_) return;
  shown_ = false;
  keep(model);
}

void BestWeights::set(std::vector<at::Tensor> tensors) {
  tensors_ = std::move(tensors);
  shown_ = false;
}

// Values are exchanged, not tensors: the model's programs hold on to those that they know.
void BestWeights::swap(const std::vector<NamedTensor>& model) {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    at::Tensor theirs = model[i].tensor.detach();
    at::Tensor before = theirs.clone();
    theirs.copy_(tensors_[i]);
    tensors_[i] = std::move(before);
  }
  shown_ = !shown_;
}

}  // namespace wasmgrad::training
