// Optimizers with PyTorch's formulas, over a fixed list of parameters. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "wasmgrad/training/options/options.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"

namespace wasmgrad::training {

class Optimizer {
 public:
  /// `parameters` must be contiguous f32; they are shared, not copied.
  Optimizer(const OptimizerOptions& options, std::vector<NamedTensor> parameters);

  /// Other hyper-parameters for the same kind. State that they need starts at zero; what they do not need is
  /// dropped.
  void configure(const OptimizerOptions& options);

  /// Updates every parameter whose gradient is defined; `gradients` are in the parameters' order. A parameter
  /// without one keeps its value and its state. They are contiguous. The rate of a group with one of its own
  /// is scaled as `learning_rate` was from OptimizerOptions'.
  void step(const std::vector<at::Tensor>& gradients, double learning_rate);

  [[nodiscard]] const std::vector<at::Tensor>& parameters() const noexcept { return all_.parameters; }
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }

  /// The live state tensors, named "<kind of state>.<parameter>".
  [[nodiscard]] std::vector<NamedTensor> state() const;
  [[nodiscard]] std::uint64_t state_bytes() const noexcept;

 private:
  /// Parallel lists, as torch's fused kernels take them; a list that the optimizer does not use is empty.
  struct Lists {
    std::vector<at::Tensor> parameters, first, second, third, steps;
  };
  /// Parameters that share their hyper-parameters.
  struct Group {
    OptimizerOptions options;
    std::vector<std::size_t> members;
  };
  void make_groups();
  void update_group(const Group& group, const std::vector<at::Tensor>& gradients, double learning_rate);
  static void update(const OptimizerOptions& options, Lists& lists, const std::vector<at::Tensor>& gradients,
                     double learning_rate);

  OptimizerOptions options_;
  std::vector<std::string> names_;
  Lists all_;
  std::vector<Group> groups_;
};

/// Scales `gradients` so that their common L2 norm is at most `limit`, as torch.nn.utils.clip_grad_norm_.
void clip_by_norm(const std::vector<at::Tensor>& gradients, double limit);
/// Clamps each element to -limit..limit.
void clip_by_value(const std::vector<at::Tensor>& gradients, double limit);

/// Of a contiguous f32 tensor, in one pass over it.
bool is_finite(const at::Tensor& values);
bool has_nan(const at::Tensor& values);

}  // namespace wasmgrad::training
