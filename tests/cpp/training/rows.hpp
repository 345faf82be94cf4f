// Rows and options that several training tests use. Small, deterministic, without torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/training/data/dataset.hpp"
#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training::testing {

template <class T>
T unwrap(Expected<T> expected) {
  if (!expected) throw std::runtime_error(expected.error().message);
  return std::move(expected).value();
}

inline constexpr std::uint64_t kAmple = std::uint64_t{1} << 30;

/// A tensor together with its bytes.
class Tensor {
 public:
  template <class T>
  Tensor(DType dtype, std::vector<std::int64_t> shape, const std::vector<T>& values)
      : dtype_(dtype), shape_(std::move(shape)) {
    const auto bytes = std::as_bytes(std::span(values));
    bytes_.assign(bytes.begin(), bytes.end());
  }
  [[nodiscard]] TensorView view(const std::string& name = "") const;

 private:
  DType dtype_;
  std::vector<std::int64_t> shape_;
  std::vector<std::byte> bytes_;
};

/// f32 [rows, 4], the numbers of linear_data() in models.py.
Tensor linear_inputs(std::int64_t rows);
/// u8 [rows, 1, 6, 6].
Tensor image_inputs(std::int64_t rows);
/// i64 [rows], 0, 1, 2, 0, ...
Tensor class_targets(std::int64_t rows);

Dataset dataset(const Tensor& inputs, const Tensor& targets);
Dataset linear_dataset(std::int64_t rows);
Dataset image_dataset(std::int64_t rows);

/// Adam with learning rate 0.01, batches of 4, one thread.
TrainerOptions small_options();

}  // namespace wasmgrad::training::testing
