// Torch's process-wide settings while one of our calls computes, put back afterwards. Torch header, private
// to training/.
#pragma once

#include <ATen/core/Tensor.h>

namespace wasmgrad::training {

/// Threads that this process may run on.
int usable_threads();

/// Thread count and deterministic algorithms. The default random generator, which programs seed for operators
/// without a generator of ours, has its state back at the end too.
class ComputeScope {
 public:
  explicit ComputeScope(int threads);
  ~ComputeScope();
  ComputeScope(const ComputeScope&) = delete;
  ComputeScope& operator=(const ComputeScope&) = delete;

 private:
  at::Tensor generator_state_;
  int threads_;
  bool deterministic_, warn_only_, fill_;
};

}  // namespace wasmgrad::training
