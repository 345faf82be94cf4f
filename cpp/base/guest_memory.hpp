// A guest's linear memory, seen by host functions: every access is checked over its full extent, in 64 bits.
//
// It must not know which engine owns the memory. It is valid only inside one host call: a guest that grows
// its memory may move it, so nothing here is kept after the call returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

class GuestMemory {
 public:
  explicit GuestMemory(std::span<std::byte> memory) noexcept : memory_(memory) {}

  [[nodiscard]] std::uint64_t size() const noexcept { return memory_.size(); }

  /// The `length` bytes at guest address `address`. `what` names them in the error ("tensor 0: data").
  /// Errors: kInvalidArgument when any byte of the range lies outside the memory.
  [[nodiscard]] Expected<std::span<const std::byte>> bytes(std::uint32_t address, std::uint64_t length,
                                                           std::string_view what) const;

  /// The same range, to be written by the host.
  [[nodiscard]] Expected<std::span<std::byte>> writable_bytes(std::uint32_t address, std::uint64_t length,
                                                              std::string_view what) const;

  /// The same range as text. The bytes are not checked to be UTF-8.
  [[nodiscard]] Expected<std::string_view> text(std::uint32_t address, std::uint64_t length,
                                                std::string_view what) const;

  /// One little-endian scalar; `address` need not be aligned.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  [[nodiscard]] Expected<T> read(std::uint32_t address, std::string_view what) const {
    auto range = bytes(address, sizeof(T), what);
    if (!range) return range.error();
    T value;
    std::memcpy(&value, range->data(), sizeof(T));
    return value;
  }

 private:
  std::span<std::byte> memory_;
};

}  // namespace wasmgrad
