// A guest of wasi_ephemeral_nn without an engine: memory that is written by hand, and its imports as calls.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/abi/nn/inference_host.hpp"

namespace wasmgrad::test {

using abi::nn::Errno;

/// A builder, or a tensor, in the guest's memory.
struct Pair {
  std::uint32_t address = 0, bytes = 0;
};

class NnGuest {
 public:
  explicit NnGuest(abi::HostConfig config, std::vector<std::unique_ptr<abi::nn::Backend>> backends,
                   std::size_t memory_bytes = std::size_t{1} << 20)
      : context(std::move(config)),
        host_(context, std::move(backends),
              [this](std::string_view sentence) { sentences.emplace_back(sentence); }),
        memory_(memory_bytes) {
    for (HostFunction& function : host_.functions()) functions_[function.name] = std::move(function);
  }

  /// Calls an import by its name.
  Errno call(const std::string& name, std::initializer_list<std::uint32_t> arguments) {
    const HostFunction& function = functions_.at(name);
    REQUIRE(function.parameters.size() == arguments.size());
    std::vector<Value> values;
    for (const std::uint32_t argument : arguments) values.push_back({.i32 = argument});
    Value result{.i32 = 999};
    REQUIRE(function.call(GuestMemory(memory_), values, std::span(&result, 1)));
    return static_cast<Errno>(result.i32);
  }

  [[nodiscard]] const std::map<std::string, HostFunction>& functions() const { return functions_; }
  [[nodiscard]] std::uint32_t end() const { return static_cast<std::uint32_t>(memory_.size()); }

  Pair put(const void* data, std::size_t size) {
    REQUIRE(next_ + size <= memory_.size());
    const std::uint32_t address = next_;
    if (size != 0) std::memcpy(memory_.data() + address, data, size);
    next_ += static_cast<std::uint32_t>((size + 7) / 8 * 8);
    return {address, static_cast<std::uint32_t>(size)};
  }
  template <class T>
  Pair put(const std::vector<T>& values) {
    return put(values.data(), values.size() * sizeof(T));
  }
  Pair put(std::string_view text) { return put(text.data(), text.size()); }

  /// A tensor record, and its address.
  template <class T>
  std::uint32_t tensor(const std::vector<std::uint32_t>& dims, DType type, const std::vector<T>& values) {
    const Pair shape = put(dims), data = put(values);
    return put(std::vector<std::uint32_t>{shape.address, static_cast<std::uint32_t>(dims.size()),
                                          static_cast<std::uint32_t>(type), data.address, data.bytes})
        .address;
  }

  /// The address of an array of builders.
  std::uint32_t builders(const std::vector<Pair>& parts) { return put(parts).address; }

  void write_u32(std::uint32_t address, std::uint32_t value) { std::memcpy(&memory_[address], &value, 4); }
  [[nodiscard]] std::uint32_t read_u32(std::uint32_t address) const {
    std::uint32_t value = 0;
    std::memcpy(&value, &memory_[address], 4);
    return value;
  }
  template <class T>
  [[nodiscard]] std::vector<T> read(std::uint32_t address, std::size_t count) const {
    std::vector<T> values(count);
    std::memcpy(values.data(), &memory_[address], count * sizeof(T));
    return values;
  }

  // ---- Calls that must succeed ----

  std::uint32_t load(std::string_view bytes, std::uint32_t encoding = 5) {
    const std::uint32_t array = builders({put(bytes)});
    REQUIRE(call("load", {array, 1, encoding, 0, kResult}) == Errno::kSuccess);
    return read_u32(kResult);
  }
  std::uint32_t context_of(std::uint32_t graph) {
    REQUIRE(call("init_execution_context", {graph, kResult}) == Errno::kSuccess);
    return read_u32(kResult);
  }
  template <class T>
  std::vector<T> output(std::uint32_t execution, std::uint32_t index, std::size_t count) {
    const std::uint32_t buffer = put(std::vector<T>(count)).address;
    const Errno status = call(
        "get_output", {execution, index, buffer, static_cast<std::uint32_t>(count * sizeof(T)), kResult});
    REQUIRE(status == Errno::kSuccess);
    CHECK(read_u32(kResult) == count * sizeof(T));
    return read<T>(buffer, count);
  }

  /// Where the helpers above have results written; 4 bytes, free for tests between them.
  static constexpr std::uint32_t kResult = 16;

  abi::GuestContext context;
  std::vector<std::string> sentences;  ///< that the owner was told

 private:
  abi::nn::InferenceHost host_;
  std::map<std::string, HostFunction> functions_;
  std::vector<std::byte> memory_;
  std::uint32_t next_ = 1024;
};

}  // namespace wasmgrad::test
