// The model's tensors at the epoch that early stopping found best. Torch header, private to training/.
//
// They never touch the course of the training: while they are shown, the model has them, and the tensors that
// the training goes on from stand here instead. A copy of this object is a copy of the values: none is
// written in place.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

class BestWeights {
 public:
  /// Tensors like the model's, of no values yet.
  static std::vector<at::Tensor> room_for(const std::vector<NamedTensor>& model);

  [[nodiscard]] bool shown() const noexcept { return shown_; }
  /// What stands here, in the model's order; empty before anything was kept.
  [[nodiscard]] const std::vector<at::Tensor>& tensors() const noexcept { return tensors_; }

  // `model` is always the same model's tensors.
  /// The model's tensors as they are now are the best. Only while they are not shown.
  void keep(const std::vector<NamedTensor>& model);
  /// The model gets the best tensors, if any were kept.
  void show(const std::vector<NamedTensor>& model);
  /// The model gets the training's tensors again.
  void hide(const std::vector<NamedTensor>& model);
  /// What is shown is what the training goes on from.
  void adopt(const std::vector<NamedTensor>& model);
  /// The best tensors of a checkpoint; empty: it had none. They are not shown.
  void set(std::vector<at::Tensor> tensors);

 private:
  void swap(const std::vector<NamedTensor>& model);

  std::vector<at::Tensor> tensors_;
  bool shown_ = false;
};

}  // namespace wasmgrad::training
