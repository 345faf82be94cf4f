// Training from a C++20 guest: tensors over the guest's own memory, and one `train` call.
//
// Header-only; needs no exceptions, RTTI or iostream. The byte lengths and record layouts of training.h stay
// hidden here.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <string_view>
#include <type_traits>

#include "wasmgrad/tensor_view.hpp"
#include "wasmgrad/training.h"

namespace wasmgrad {

enum class DType : std::uint8_t {
  f16 = WASMGRAD_F16,
  f32 = WASMGRAD_F32,
  u8 = WASMGRAD_U8,
  i32 = WASMGRAD_I32,
  i64 = WASMGRAD_I64,
};

enum class Device : std::uint32_t { cpu = WASMGRAD_CPU };

enum class Optimizer : std::uint32_t {
  adam = WASMGRAD_ADAM,
  rmsprop = WASMGRAD_RMSPROP,
  sgd = WASMGRAD_SGD,
  adamw = WASMGRAD_ADAMW,
  adagrad = WASMGRAD_ADAGRAD,
  nadam = WASMGRAD_NADAM,
  radam = WASMGRAD_RADAM,
  lion = WASMGRAD_LION,
  lamb = WASMGRAD_LAMB,
};

enum class Loss : std::uint32_t {
  cross_entropy_probabilities = WASMGRAD_CROSS_ENTROPY,  ///< the model returns probabilities
  cross_entropy = WASMGRAD_CROSS_ENTROPY_LOGITS,         ///< the model returns logits
  mse = WASMGRAD_MSE,
  l1 = WASMGRAD_L1,
  huber = WASMGRAD_HUBER,
  bce_with_logits = WASMGRAD_BCE_WITH_LOGITS,
  nll = WASMGRAD_NLL,  ///< the model returns log-probabilities
  kl_div = WASMGRAD_KL_DIV,
  cosine = WASMGRAD_COSINE,
  focal = WASMGRAD_FOCAL,
};

/// The element types that cross to the host, by C++ type.
template <class T>
inline constexpr bool is_element =
    std::is_same_v<T, Half> || std::is_same_v<T, float> || std::is_same_v<T, std::uint8_t> ||
    std::is_same_v<T, std::int32_t> || std::is_same_v<T, std::int64_t>;

template <class T>
  requires is_element<T>
consteval DType dtype_of() {
  if constexpr (std::is_same_v<T, Half>) return DType::f16;
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::i64;
}

/// A shaped view of elements that the guest owns: they must outlive the tensor. A tensor that exists is
/// consistent.
class Tensor : public TensorView {
 public:
  /// `data` holds the elements in row-major order; the first dimension of `shape` counts samples. Containers
  /// that are about to be destroyed do not compile. Ends the guest with a sentence when the shape does not
  /// describe exactly `data`.
  template <element_range Range>
    requires is_element<std::ranges::range_value_t<Range>>
  Tensor(Range&& data, std::initializer_list<std::uint32_t> shape, std::string_view name = {})
      : TensorView(data, {shape.begin(), shape.size()}, name),
        dtype_(dtype_of<std::ranges::range_value_t<Range>>()) {}

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }

  /// The record the host reads. It points into this tensor.
  [[nodiscard]] wasmgrad_tensor record() const noexcept {
    return {data(),
            static_cast<std::uint32_t>(bytes()),
            shape().data(),
            static_cast<std::uint32_t>(shape().size_bytes()),
            static_cast<std::uint8_t>(dtype_),
            name().data(),
            static_cast<std::uint32_t>(name().size())};
  }

 private:
  DType dtype_;
};

/// Inputs [N, ...] and what the model should make of them: classes [N] for the cross-entropies, else the
/// output's shape.
struct Samples {
  Tensor inputs;
  Tensor targets;
};

struct TrainOptions {
  std::string_view model = "model.pt";  ///< a granted model's name, or a path inside a granted directory
  std::int64_t classes = 0;             ///< of a classification; 0 for a regression
  Device device = Device::cpu;
  double learning_rate = 1e-4;
  std::int32_t epochs = 10;       ///< passes over the training samples
  std::int64_t batch_size = 128;  ///< samples in one step
  Optimizer optimizer = Optimizer::adam;
  Loss loss = Loss::cross_entropy;
};

namespace detail {

template <class... Sets>
void train(const TrainOptions& options, const Sets&... sets) {
  const std::array records{sets.inputs.record()..., sets.targets.record()...};
  constexpr std::size_t kSets = sizeof...(Sets);
  std::array<const wasmgrad_tensor*, 2 * kSets> tensors;
  for (std::size_t i = 0; i < kSets; ++i) {
    tensors[2 * i] = &records[i];
    tensors[2 * i + 1] = &records[kSets + i];
  }
  wasmgrad_train(tensors.data(), tensors.size(), options.classes, static_cast<std::uint32_t>(options.device),
                 options.learning_rate, options.epochs, options.batch_size,
                 static_cast<std::uint32_t>(options.optimizer), static_cast<std::uint32_t>(options.loss),
                 options.model.data(), static_cast<std::uint32_t>(options.model.size()));
}

}  // namespace detail

/// Trains the model and returns when it is trained and stored. An error traps: the call does not return then.
inline void train(const TrainOptions& options, const Samples& training) { detail::train(options, training); }

/// The same, and reports the accuracy or loss on `test` after each epoch.
inline void train(const TrainOptions& options, const Samples& training, const Samples& test) {
  detail::train(options, training, test);
}

/// The same, with samples that steer the training (early stopping) kept apart from those that only judge it.
inline void train(const TrainOptions& options, const Samples& training, const Samples& test,
                  const Samples& validation) {
  detail::train(options, training, test, validation);
}

}  // namespace wasmgrad
