// A guest of wasmgrad:training@0.1 without an engine: a memory laid out by hand, and every import by its
// name.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/abi/v1/layout.hpp"
#include "wasmgrad/base/file.hpp"

namespace wasmgrad::test {

namespace v1 = abi::v1;

/// A tensor as a test writes it down.
struct GuestTensor {
  std::string name;
  DType type;
  std::vector<std::uint32_t> dims;
  std::vector<std::byte> data;

  template <class T>
  GuestTensor(std::string tensor_name, DType dtype, std::vector<std::uint32_t> shape,
              const std::vector<T>& values)
      : name(std::move(tensor_name)), type(dtype), dims(std::move(shape)) {
    const auto bytes = std::as_bytes(std::span(values));
    data.assign(bytes.begin(), bytes.end());
  }
};

/// What the tests of an executable train with, which it links: null for those that need nothing.
const training::Backend* backend();

class Guest {
 public:
  static constexpr std::uint32_t kBytes = 1 << 20;

  explicit Guest(abi::HostConfig config = default_config())
      : memory_(kBytes), host_(std::make_unique<abi::TrainingHost>(std::move(config))) {
    for (HostFunction& function : host_->functions()) {
      if (function.module == v1::layout::kModule) functions_[function.name] = std::move(function);
    }
  }

  /// One thread, so that results are the same everywhere.
  static abi::HostConfig default_config() {
    abi::HostConfig config;
    config.backend = backend();
    config.overrides.threads = 1;
    return config;
  }

  [[nodiscard]] GuestMemory memory() { return GuestMemory(memory_); }
  [[nodiscard]] abi::TrainingHost& host() { return *host_; }
  [[nodiscard]] const std::map<std::string, HostFunction>& functions() const { return functions_; }

  /// Calls an import; its errno. Integers of 32 bits, 64 bits, and doubles are told apart by the signature.
  template <class... Arguments>
  std::uint32_t call(const std::string& name, Arguments... arguments) {
    const auto found = functions_.find(name);
    REQUIRE_MESSAGE(found != functions_.end(), name);
    const HostFunction& function = found->second;
    REQUIRE(function.parameters.size() == sizeof...(arguments));
    std::vector<Value> values;
    const auto add = [&](auto argument) {
      Value value{};
      switch (function.parameters[values.size()]) {
        case ValueType::kI32:
          value.i32 = static_cast<std::uint32_t>(argument);
          break;
        case ValueType::kI64:
          value.i64 = static_cast<std::uint64_t>(argument);
          break;
        case ValueType::kF32:
          value.f32 = static_cast<float>(argument);
          break;
        case ValueType::kF64:
          value.f64 = static_cast<double>(argument);
          break;
      }
      values.push_back(value);
    };
    (add(arguments), ...);
    return call_values(function, values);
  }
  std::uint32_t call_values(const HostFunction& function, std::span<const Value> values) {
    Value result{};
    const Status status = function.call(memory(), values, std::span(&result, 1));
    REQUIRE_MESSAGE(status.ok(), "an import must not trap");
    return result.i32;
  }
  [[nodiscard]] std::vector<std::byte> snapshot() const { return memory_; }

  /// The sentence behind the last failure.
  std::string last_error() {
    const std::uint32_t size = reserve(4);
    REQUIRE(call("last_error", 0, 0, size) == 0);
    const auto bytes = read<std::uint32_t>(size);
    const std::uint32_t text = reserve(bytes);
    REQUIRE(call("last_error", text, bytes, size) == 0);
    return {reinterpret_cast<const char*>(memory_.data() + text), bytes};
  }

  /// Zeroed bytes of the guest's own.
  std::uint32_t reserve(std::uint32_t size) {
    const std::uint32_t address = next_;
    next_ += (size + 15) / 16 * 16;
    REQUIRE(next_ <= kBytes);
    return address;
  }
  std::uint32_t put(std::span<const std::byte> bytes) {
    const std::uint32_t address = reserve(static_cast<std::uint32_t>(bytes.size()));
    if (!bytes.empty()) std::memcpy(memory_.data() + address, bytes.data(), bytes.size());
    return address;
  }
  std::uint32_t put(std::string_view text) { return put(std::as_bytes(std::span(text))); }
  template <class T>
  std::uint32_t put(const std::vector<T>& values) {
    return put(std::as_bytes(std::span(values)));
  }

  template <class T>
  T read(std::uint32_t address) {
    T value;
    std::memcpy(&value, memory_.data() + address, sizeof value);
    return value;
  }
  template <class T>
  std::vector<T> read_all(std::uint32_t address, std::size_t count) {
    std::vector<T> values(count);
    std::memcpy(values.data(), memory_.data() + address, count * sizeof(T));
    return values;
  }
  template <class T>
  void write(std::uint32_t address, T value) {
    std::memcpy(memory_.data() + address, &value, sizeof value);
  }

  /// An array of wasmgrad_named_tensor.
  std::uint32_t list(const std::vector<GuestTensor>& tensors) {
    namespace layout = v1::layout;
    const std::uint32_t records =
        reserve(static_cast<std::uint32_t>(tensors.size()) * layout::kNamedTensorBytes);
    std::uint32_t record = records;
    for (const GuestTensor& tensor : tensors) {
      write(record + layout::kName, put(tensor.name));
      write(record + layout::kNameBytes, static_cast<std::uint32_t>(tensor.name.size()));
      const std::uint32_t inner = record + layout::kTensor;
      write(inner + layout::kDims, put(tensor.dims));
      write(inner + layout::kRank, static_cast<std::uint32_t>(tensor.dims.size()));
      write(inner + layout::kType, static_cast<std::uint8_t>(tensor.type));
      write(inner + layout::kData, put(tensor.data));
      write(inner + layout::kDataBytes, static_cast<std::uint32_t>(tensor.data.size()));
      record += layout::kNamedTensorBytes;
    }
    return records;
  }

  // ---- What most tests begin with; each must succeed ----

  std::uint32_t load_model(const std::string& name = "linear") {
    const auto archive = model_archive(name);
    const std::uint32_t handle = reserve(4);
    const std::uint32_t errc = call("model_load", put(archive), archive.size(), 0, 0, handle);
    REQUIRE_MESSAGE(errc == 0, last_error());
    return read<std::uint32_t>(handle);
  }
  /// Rows of the linear model: [N, 4] f32 and classes 0..2.
  std::uint32_t make_dataset(std::uint32_t rows) {
    const std::uint32_t handle = reserve(4);
    REQUIRE(call("dataset_create", handle) == 0);
    const auto dataset = read<std::uint32_t>(handle);
    if (rows > 0) {
      const std::uint32_t errc = call("dataset_append", dataset, linear_inputs(rows), 1, classes(rows), 1);
      REQUIRE_MESSAGE(errc == 0, last_error());
    }
    return dataset;
  }
  std::uint32_t make_trainer(std::uint32_t model, std::string_view options = kOptions) {
    const std::uint32_t handle = reserve(4);
    const std::uint32_t errc = call("trainer_create", model, put(options), options.size(), handle);
    REQUIRE_MESSAGE(errc == 0, last_error());
    return read<std::uint32_t>(handle);
  }

  std::uint32_t linear_inputs(std::uint32_t rows, std::string_view name = "") {
    std::vector<float> values;
    for (std::uint32_t i = 0; i < rows * 4; ++i)
      values.push_back(static_cast<float>(static_cast<double>(i * 7 % 13) / 13 - 0.5));
    return list({{std::string(name), DType::kF32, {rows, 4}, values}});
  }
  std::uint32_t classes(std::uint32_t rows, std::string_view name = "") {
    std::vector<std::int64_t> values;
    for (std::uint32_t i = 0; i < rows; ++i) values.push_back(i % 3);
    return list({{std::string(name), DType::kI64, {rows}, values}});
  }

  static constexpr std::string_view kOptions =
      R"({"optimizer": {"name": "adam", "learning_rate": 0.05}, "batch_size": 4, "top_k": 2, "seed": 11})";

  static std::filesystem::path models() {
    const char* directory = std::getenv("WASMGRAD_TEST_MODELS");
    REQUIRE_MESSAGE(directory != nullptr, "run by ctest, which makes the models");
    return directory;
  }
  static std::vector<std::byte> model_archive(const std::string& name) {
    auto archive = read_file(models() / (name + ".pt"), 1 << 20);
    REQUIRE(archive);
    return std::move(archive).value();
  }

 private:
  std::vector<std::byte> memory_;
  std::uint32_t next_ = 1024;
  std::unique_ptr<abi::TrainingHost> host_;
  std::map<std::string, HostFunction> functions_;
};

/// The number that a guest is told for a kind of failure.
constexpr std::uint32_t errno_of(Errc code) { return static_cast<std::uint32_t>(code); }

}  // namespace wasmgrad::test
