// wasmgrad:training@0.1 from a C++20 guest: models, datasets and trainers that close themselves, and the
// guest's own training loop.
//
// Header-only; needs no exceptions, RTTI or iostream. Every call returns a Result; `.value()` on it is the
// short way for programs that end with the host's sentence when a call fails.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wasmgrad/result.hpp"
#include "wasmgrad/tensor_view.hpp"
#include "wasmgrad/trainer_options.hpp"
#include "wasmgrad/training_v1.h"

namespace wasmgrad::v1 {

using Bytes = std::vector<std::uint8_t>;
using Metrics = wasmgrad_metrics;
using FitReport = wasmgrad_fit_report;
using Progress = wasmgrad_progress;

enum class Encoding : std::uint32_t {
  autodetect = WASMGRAD_ENCODING_AUTODETECT,  ///< load only
  torchscript = WASMGRAD_ENCODING_TORCHSCRIPT,
  torch_export = WASMGRAD_ENCODING_TORCH_EXPORT,  ///< load only
  safetensors = WASMGRAD_ENCODING_SAFETENSORS,    ///< export only
  lora = WASMGRAD_ENCODING_LORA,                  ///< export only: low-rank branches
};

enum class Target : std::uint32_t { cpu = WASMGRAD_TARGET_CPU };

enum class Type : std::uint8_t {
  f16 = WASMGRAD_TYPE_F16,
  f32 = WASMGRAD_TYPE_F32,
  f64 = WASMGRAD_TYPE_F64,
  u8 = WASMGRAD_TYPE_U8,
  i32 = WASMGRAD_TYPE_I32,
  i64 = WASMGRAD_TYPE_I64,
  bf16 = WASMGRAD_TYPE_BF16,
};

/// The upper half of an f32, as its bits.
struct BFloat16 {
  std::uint16_t bits;
};

namespace detail {

/// The element type of a C++ type; the C++ types that have none do not compile as elements.
template <class T>
inline constexpr std::optional<Type> type_of = std::nullopt;
template <>
inline constexpr std::optional<Type> type_of<Half> = Type::f16;
template <>
inline constexpr std::optional<Type> type_of<float> = Type::f32;
template <>
inline constexpr std::optional<Type> type_of<double> = Type::f64;
template <>
inline constexpr std::optional<Type> type_of<std::uint8_t> = Type::u8;
template <>
inline constexpr std::optional<Type> type_of<std::int32_t> = Type::i32;
template <>
inline constexpr std::optional<Type> type_of<std::int64_t> = Type::i64;
template <>
inline constexpr std::optional<Type> type_of<BFloat16> = Type::bf16;

}  // namespace detail

template <class T>
concept Element = detail::type_of<T>.has_value();

/// A shaped view of elements that the guest owns: they must outlive the tensor. A tensor that exists is
/// consistent.
class Tensor : public TensorView {
 public:
  /// `data` holds the elements in row-major order; the first dimension of `shape` counts rows. Containers
  /// that are about to be destroyed do not compile. Ends the guest with a sentence when the shape does not
  /// describe exactly `data`.
  template <element_range Range>
    requires Element<std::ranges::range_value_t<Range>>
  Tensor(Range&& data, std::span<const std::uint32_t> shape, std::string_view name = {})
      : TensorView(data, shape, name), type_(*detail::type_of<std::ranges::range_value_t<Range>>) {}

  template <element_range Range>
    requires Element<std::ranges::range_value_t<Range>>
  Tensor(Range&& data, std::initializer_list<std::uint32_t> shape, std::string_view name = {})
      : Tensor(data, std::span(shape.begin(), shape.size()), name) {}

  [[nodiscard]] Type type() const noexcept { return type_; }

  /// The record the host reads. It points into this tensor.
  [[nodiscard]] wasmgrad_named_tensor record() const noexcept {
    return {name().data(),
            static_cast<std::uint32_t>(name().size()),
            {shape().data(), static_cast<std::uint32_t>(shape().size()), static_cast<std::uint8_t>(type_),
             data(), static_cast<std::uint32_t>(bytes())}};
  }

 private:
  Type type_;
};

/// A list of tensors as an argument: one tensor, a braced list, or a range of them.
class TensorList {
 public:
  TensorList(const Tensor& tensor) : records_{tensor.record()} {}  // NOLINT: see above
  TensorList(std::initializer_list<Tensor> tensors)
      : TensorList(std::span(tensors.begin(), tensors.size())) {}
  TensorList(std::span<const Tensor> tensors) {  // NOLINT: see above
    for (const Tensor& tensor : tensors) records_.push_back(tensor.record());
  }

  [[nodiscard]] const wasmgrad_named_tensor* data() const noexcept { return records_.data(); }
  [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(records_.size()); }

 private:
  std::vector<wasmgrad_named_tensor> records_;
};

/// An output of a prediction.
struct Output {
  Type type;
  std::vector<std::uint32_t> shape;
  Bytes data;

  /// The elements, when T is their type; else the guest ends with a sentence.
  template <Element T>
  [[nodiscard]] std::span<const T> elements() const {
    if (type != *detail::type_of<T>)
      fail("an output of type %u was read as another one", static_cast<unsigned>(type));
    return {reinterpret_cast<const T*>(data.data()), data.size() / sizeof(T)};
  }
};

namespace detail {

inline std::uint32_t length(std::size_t size) noexcept { return static_cast<std::uint32_t>(size); }

inline Result<void> checked(std::uint32_t code) {
  if (code != WASMGRAD_SUCCESS) return Error(static_cast<Errno>(code));
  return {};
}

/// `call(&value)` fills the value.
template <class T, class Call>
Result<T> filled(Call call) {
  T value{};
  if (const std::uint32_t code = call(&value); code != WASMGRAD_SUCCESS)
    return Error(static_cast<Errno>(code));
  return value;
}

/// Bytes of unknown size from `call(buffer, bytes, &written)`: asks for the size, then for the bytes.
template <class T, class Call>
Result<std::vector<T>> read_all(Call call) {
  std::uint32_t bytes = 0;
  std::uint32_t code = call(nullptr, 0, &bytes);
  std::vector<T> elements(code == WASMGRAD_SUCCESS ? bytes / sizeof(T) : 0);
  if (code == WASMGRAD_SUCCESS) code = call(elements.data(), bytes, &bytes);
  if (code != WASMGRAD_SUCCESS) return Error(static_cast<Errno>(code));
  return elements;
}

/// Owns a handle of the host: moves, and closes it at the end.
template <std::uint32_t (*close)(std::uint32_t)>
class Handle {
 public:
  explicit Handle(std::uint32_t number) noexcept : number_(number) {}
  Handle(Handle&& other) noexcept : number_(std::exchange(other.number_, 0)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Handle() {
    if (number_ != 0) close(number_);
  }

  /// What the functions of training_v1.h take.
  [[nodiscard]] std::uint32_t handle() const noexcept { return number_; }

 private:
  std::uint32_t number_;
};

/// A T made of the handle that `call(&handle)` stores.
template <class T, class Call>
Result<T> opened(Call call) {
  std::uint32_t handle = 0;
  if (const std::uint32_t code = call(&handle); code != WASMGRAD_SUCCESS)
    return Error(static_cast<Errno>(code));
  return T(handle);
}

}  // namespace detail

/// A model on the host.
class Model : public detail::Handle<wasmgrad_model_close> {
 public:
  using Handle::Handle;

  /// Loads a model file. One that could do more than compute is refused with Errno::security.
  static Result<Model> load(std::span<const std::uint8_t> file, Encoding encoding = Encoding::autodetect,
                            Target target = Target::cpu) {
    return detail::opened<Model>([&](std::uint32_t* handle) {
      return wasmgrad_model_load(file.data(), detail::length(file.size()),
                                 static_cast<std::uint32_t>(encoding), static_cast<std::uint32_t>(target),
                                 handle);
    });
  }

  /// Loads a model that the owner of the guest granted under this name.
  static Result<Model> load_by_name(std::string_view name, Target target = Target::cpu) {
    return detail::opened<Model>([&](std::uint32_t* handle) {
      return wasmgrad_model_load_by_name(name.data(), detail::length(name.size()),
                                         static_cast<std::uint32_t>(target), handle);
    });
  }

  /// The model file with the present weights.
  [[nodiscard]] Result<Bytes> to_bytes(Encoding encoding = Encoding::torchscript) const {
    return detail::read_all<std::uint8_t>([&](std::uint8_t* buffer, std::uint32_t bytes,
                                              std::uint32_t* written) {
      return wasmgrad_model_export(handle(), static_cast<std::uint32_t>(encoding), buffer, bytes, written);
    });
  }
};

/// Rows of inputs and targets on the host.
class Dataset : public detail::Handle<wasmgrad_dataset_close> {
 public:
  using Handle::Handle;

  /// An empty one. Its first block decides the columns.
  static Result<Dataset> create() { return detail::opened<Dataset>(wasmgrad_dataset_create); }

  /// Appends a block of rows; the guest may reuse its memory for the next one. A dataset that was split or
  /// trained on cannot grow.
  Result<void> append(const TensorList& inputs, const TensorList& targets) {
    return detail::checked(
        wasmgrad_dataset_append(handle(), inputs.data(), inputs.size(), targets.data(), targets.size()));
  }

  /// New datasets with these fractions of the rows, drawn from `seed`. They share the rows' memory with this
  /// one.
  [[nodiscard]] Result<std::vector<Dataset>> split(std::span<const double> fractions,
                                                   std::uint64_t seed) const {
    std::vector<std::uint32_t> handles(fractions.size());
    const auto done = detail::checked(wasmgrad_dataset_split(
        handle(), fractions.data(), detail::length(fractions.size()), seed, handles.data()));
    if (!done) return done.error();
    std::vector<Dataset> parts;
    for (const std::uint32_t part : handles) parts.emplace_back(part);
    return parts;
  }
  [[nodiscard]] Result<std::vector<Dataset>> split(std::initializer_list<double> fractions,
                                                   std::uint64_t seed) const {
    return split(std::span(fractions.begin(), fractions.size()), seed);
  }

  /// Rows.
  [[nodiscard]] Result<std::uint64_t> size() const {
    return detail::filled<std::uint64_t>(
        [&](std::uint64_t* rows) { return wasmgrad_dataset_size(handle(), rows); });
  }
};

/// Trains a model, which has at most one trainer at a time.
class Trainer : public detail::Handle<wasmgrad_trainer_close> {
 public:
  using Handle::Handle;

  static Result<Trainer> create(const Model& model, const TrainerOptions& options) {
    return create(model, std::string_view(options.to_json()));
  }
  /// The same with the options as JSON.
  static Result<Trainer> create(const Model& model, std::string_view json) {
    return detail::opened<Trainer>([&](std::uint32_t* handle) {
      return wasmgrad_trainer_create(model.handle(), json.data(), detail::length(json.size()), handle);
    });
  }

  /// Trains `epochs` more epochs, those of a checkpoint that the owner resumed included, each followed by an
  /// evaluation of `validation`, if there is one. After early stopping the model has its best epoch's
  /// weights. A step that fails leaves no trace; those before it are kept, and the error says how many,
  /// unless restore_on_error undoes them. The next call goes on with the batch that failed.
  Result<FitReport> fit(const Dataset& train, const Dataset* validation, std::uint32_t epochs) {
    const std::uint32_t judge = validation != nullptr ? validation->handle() : 0;
    return detail::filled<FitReport>([&](FitReport* report) {
      return wasmgrad_trainer_fit(handle(), train.handle(), judge, epochs, report);
    });
  }

  /// Trains one epoch. Errors: as fit().
  Result<Metrics> epoch(const Dataset& train) {
    return measured(
        [&](Metrics* metrics) { return wasmgrad_trainer_epoch(handle(), train.handle(), metrics); });
  }

  /// Trains one batch: backward(), then apply().
  Result<Metrics> step(const TensorList& inputs, const TensorList& targets) {
    return measured([&](Metrics* metrics) {
      return wasmgrad_trainer_step(handle(), inputs.data(), inputs.size(), targets.data(), targets.size(),
                                   metrics);
    });
  }

  /// Adds the gradient of the batch's mean loss to the trainer's gradients.
  Result<Metrics> backward(const TensorList& inputs, const TensorList& targets) {
    return measured([&](Metrics* metrics) {
      return wasmgrad_trainer_backward(handle(), inputs.data(), inputs.size(), targets.data(), targets.size(),
                                       metrics);
    });
  }

  /// One optimizer step with the mean of the gradients that were added since the last one; clears them.
  Result<void> apply() { return detail::checked(wasmgrad_trainer_apply(handle())); }

  /// Loss and accuracy in evaluation mode.
  Result<Metrics> evaluate(const Dataset& dataset) {
    return measured(
        [&](Metrics* metrics) { return wasmgrad_trainer_evaluate(handle(), dataset.handle(), metrics); });
  }

  /// Where the trainer stands: what a loop begins with, since the owner may have resumed a checkpoint.
  [[nodiscard]] Result<Progress> progress() const {
    return detail::filled<Progress>(
        [&](Progress* progress) { return wasmgrad_trainer_progress(handle(), progress); });
  }

  /// All outputs of the model in evaluation mode.
  Result<std::vector<Output>> predict(const TensorList& inputs) {
    const auto count = detail::filled<std::uint32_t>([&](std::uint32_t* outputs) {
      return wasmgrad_trainer_predict(handle(), inputs.data(), inputs.size(), outputs);
    });
    if (!count) return count.error();
    std::vector<Output> outputs;
    for (std::uint32_t index = 0; index < count.value(); ++index) {
      wasmgrad_output_info info{};
      auto data = detail::read_all<std::uint8_t>(
          [&](std::uint8_t* buffer, std::uint32_t bytes, std::uint32_t* written) {
            return wasmgrad_trainer_output(handle(), index, &info, buffer, bytes, written);
          });
      if (!data) return data.error();
      outputs.push_back(
          {static_cast<Type>(info.type), {info.dims, info.dims + info.rank}, std::move(data).value()});
    }
    return outputs;
  }

  /// Changes a hyper-parameter from the next step on: "learning_rate", "weight_decay", "momentum", ...
  Result<void> set(std::string_view key, double value) {
    return detail::checked(wasmgrad_trainer_set(handle(), key.data(), detail::length(key.size()), value));
  }

  /// The trainable parameters, one after the other in the model's order.
  [[nodiscard]] Result<std::vector<float>> parameters() const {
    return detail::read_all<float>([&](float* buffer, std::uint32_t bytes, std::uint32_t* written) {
      return wasmgrad_trainer_parameters(handle(), buffer, bytes, written);
    });
  }
  Result<void> set_parameters(std::span<const float> values) {
    return detail::checked(
        wasmgrad_trainer_set_parameters(handle(), values.data(), detail::length(values.size_bytes())));
  }

  /// The mean of the gradients that were added since the last apply(), in the parameters' order.
  [[nodiscard]] Result<std::vector<float>> gradients() const {
    return detail::read_all<float>([&](float* buffer, std::uint32_t bytes, std::uint32_t* written) {
      return wasmgrad_trainer_gradients(handle(), buffer, bytes, written);
    });
  }
  Result<void> set_gradients(std::span<const float> values) {
    return detail::checked(
        wasmgrad_trainer_set_gradients(handle(), values.data(), detail::length(values.size_bytes())));
  }

  /// The buffers of floating point, such as batch norm's running statistics, in the model's order. Who
  /// averages the parameters of models averages these too.
  [[nodiscard]] Result<std::vector<float>> buffers() const {
    return detail::read_all<float>([&](float* buffer, std::uint32_t bytes, std::uint32_t* written) {
      return wasmgrad_trainer_buffers(handle(), buffer, bytes, written);
    });
  }
  Result<void> set_buffers(std::span<const float> values) {
    return detail::checked(
        wasmgrad_trainer_set_buffers(handle(), values.data(), detail::length(values.size_bytes())));
  }

  /// The whole state as a safetensors file; restored into a trainer of the same model and options, the run
  /// goes on bit by bit as if it had not ended.
  [[nodiscard]] Result<Bytes> checkpoint() const {
    return detail::read_all<std::uint8_t>(
        [&](std::uint8_t* buffer, std::uint32_t bytes, std::uint32_t* written) {
          return wasmgrad_trainer_checkpoint(handle(), buffer, bytes, written);
        });
  }
  Result<void> restore(std::span<const std::uint8_t> checkpoint) {
    return detail::checked(
        wasmgrad_trainer_restore(handle(), checkpoint.data(), detail::length(checkpoint.size())));
  }

 private:
  template <class Call>
  static Result<Metrics> measured(Call call) {
    return detail::filled<Metrics>(call);
  }
};

/// The processes that train together, in each of which the guest runs.
struct ProcessGroup {
  std::uint32_t rank;  ///< of this one, from 0
  std::uint32_t size;
};

/// 0 of 1 when alone.
[[nodiscard]] inline ProcessGroup process_group() {
  ProcessGroup group{0, 1};
  wasmgrad_process_group(&group.rank, &group.size);
  return group;
}

/// What the owner's configuration of this run has under this name, as text: a number in decimal, a truth
/// value as true or false. Errors: WASMGRAD_NOT_FOUND.
[[nodiscard]] inline Result<std::string> run_config(std::string_view key) {
  auto bytes = detail::read_all<char>([&](char* buffer, std::uint32_t buffer_bytes, std::uint32_t* written) {
    return wasmgrad_run_config(key.data(), detail::length(key.size()), buffer, buffer_bytes, written);
  });
  if (!bytes) return bytes.error();
  return std::string(bytes.value().begin(), bytes.value().end());
}

/// Tells the owner a figure of the guest's own; the last under each name is the run's.
inline Result<void> run_report(std::string_view name, double value) {
  return detail::checked(wasmgrad_run_report(name.data(), detail::length(name.size()), value));
}

}  // namespace wasmgrad::v1
