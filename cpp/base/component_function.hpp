// What a component imports, without an engine: functions of an interface over its canonical ABI, and what
// becomes of the handles that it drops.
//
// `abi` and `sandbox` produce these, `sandbox` serves them to the core modules inside a component.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

/// The side of a component that made a call: its memory, and the allocator that results are stored with.
class ComponentCaller {
 public:
  ComponentCaller() = default;
  ComponentCaller(const ComponentCaller&) = delete;
  ComponentCaller& operator=(const ComponentCaller&) = delete;
  virtual ~ComponentCaller() = default;

  /// Valid until the next allocation, which may move it.
  [[nodiscard]] virtual GuestMemory memory() = 0;
  /// The address of `bytes` bytes of guest memory, all inside it, from the guest's own allocator. Errors: a
  /// trap of that allocator, or what it gave is not what was asked for.
  [[nodiscard]] virtual Expected<std::uint32_t> allocate(std::uint64_t bytes, std::uint32_t alignment) = 0;

  /// Stores one little-endian value. Errors: kInvalidArgument when it is not all inside the memory.
  template <class T>
  Status store(std::uint64_t address, T value, std::string_view what = "result") {
    if (!std::in_range<std::uint32_t>(address)) return invalid(std::string(what) + " lies past guest memory");
    auto range = memory().writable_bytes(static_cast<std::uint32_t>(address), sizeof(T), what);
    if (!range) return range.error();
    std::memcpy(range->data(), &value, sizeof(T));
    return {};
  }

  /// Allocates and stores a list of bytes, or a string; its address.
  Expected<std::uint32_t> store_bytes(std::span<const std::byte> bytes) {
    WASMGRAD_ASSIGN(const std::uint32_t address, allocate(bytes.size(), 1));
    WASMGRAD_ASSIGN(const auto range, memory().writable_bytes(address, bytes.size(), "result"));
    if (!bytes.empty()) std::memcpy(range.data(), bytes.data(), bytes.size());
    return address;
  }
};

struct ComponentFunction {
  std::string interface;  ///< "wasi:io/streams", without a version
  std::string name;       ///< "[method]input-stream.read"
  std::vector<ValueType> parameters;
  std::vector<ValueType> results;
  /// Called on the guest's thread. An error becomes a trap that carries its sentence. Must not throw.
  std::function<Status(ComponentCaller& caller, std::span<const Value> arguments, std::span<Value> results)>
      call;
};

/// A resource of an interface: `drop` is told the handle that the component gives up. An error traps.
struct ComponentResource {
  std::string interface;
  std::string name;
  std::function<Status(std::uint32_t handle)> drop;
};

struct ComponentImports {
  std::vector<ComponentFunction> functions;
  std::vector<ComponentResource> resources;
};

}  // namespace wasmgrad
