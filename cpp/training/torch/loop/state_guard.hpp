// Puts back what a run of a model changed. Torch header, private to training/.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <utility>
#include <vector>

#include "wasmgrad/training/torch/lowering/written_state.hpp"

namespace wasmgrad::training {

class StateGuard {
 public:
  /// Copies what may be written: its size is the price, which is 0 for a model that writes nothing.
  explicit StateGuard(const lowering::WrittenState& written);
  StateGuard(const StateGuard&) = delete;
  StateGuard& operator=(const StateGuard&) = delete;
  /// Restores, unless keep() was called.
  ~StateGuard();

  /// The changes stand.
  void keep() noexcept { active_ = false; }
  /// Puts back the state as it was, and is done.
  void restore() noexcept;
  /// Whether the tensor lies in memory that is put back.
  [[nodiscard]] bool covers(const at::Tensor& tensor) const;

 private:
  struct Value {
    at::Tensor tensor, copy;
  };
  struct Slot {
    lowering::Attribute attribute;
    c10::IValue before;
  };
  void save(const at::Tensor& tensor);

  std::vector<Value> values_;
  std::vector<Slot> slots_;
  bool active_ = true;
};

}  // namespace wasmgrad::training
