// Files, directories and console of a component, as the engine's own WASI preview 1 has them: a guest that is
// a component gets exactly what one that is a module gets, with the same checks behind it. A small module
// with a memory of its own passes the calls on. Private to sandbox/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/handle_quota.hpp"
#include "wasmgrad/sandbox/instance.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"

namespace wasmgrad::sandbox::wasi2 {

/// An errno of preview 1; 0 is success.
using Errno = std::uint16_t;
inline constexpr Errno kErrnoBadDescriptor = 8, kErrnoExist = 20, kErrnoInvalid = 28, kErrnoNameTooLong = 37,
                       kErrnoOverflow = 61;

class Preview1 {
 public:
  /// Where its memory begins, and what of it transfers may use at once.
  static constexpr std::uint32_t kRecord = 64;  ///< results of calls
  static constexpr std::uint32_t kPath = 4096;  ///< and a second one behind it
  static constexpr std::uint32_t kMaxPath = 16384;
  static constexpr std::uint32_t kData = 65536;
  static constexpr std::uint32_t kMaxData = 1U << 20;

  /// The grants of `guest`: its directories are the descriptors from 3, in their order.
  static Expected<std::unique_ptr<Preview1>> create(const SandboxConfig& guest);

  /// Calls a function of preview 1. Errors: the engine's, which are no errno.
  Expected<Errno> call(std::string_view function, std::initializer_list<std::uint64_t> arguments);

  /// The bytes at an address of its memory, all of which it has.
  [[nodiscard]] std::span<std::byte> bytes(std::uint32_t address, std::size_t size);
  template <class T>
  [[nodiscard]] T read(std::uint32_t address) {
    T value;
    std::memcpy(&value, bytes(address, sizeof(T)).data(), sizeof(T));
    return value;
  }
  template <class T>
  void write(std::uint32_t address, T value) {
    std::memcpy(bytes(address, sizeof(T)).data(), &value, sizeof(T));
  }

 private:
  Preview1(std::unique_ptr<Instance> instance, const SandboxConfig& guest)
      : instance_(std::move(instance)), handles_(guest.max_handles) {}

  std::unique_ptr<Instance> instance_;
  HandleQuota handles_;
};

}  // namespace wasmgrad::sandbox::wasi2
