// What WASI may do in directories that a guest was given read-only. WasmEdge's own read-only directories let
// files be renamed and linked away, and their times be set: here every function that changes anything is
// asked for, by its name and arguments, before the engine sees the call. It must not know an engine. Private
// to sandbox/.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "wasmgrad/base/host_function.hpp"

namespace wasmgrad::sandbox {

/// A function of WASI that returns an errno.
struct WasiFunction {
  const char* name;
  std::vector<ValueType> parameters;
};

/// Those that have to pass ReadOnlyFiles::call().
const std::vector<WasiFunction>& guarded_wasi_functions();

/// The descriptors of one guest.
class ReadOnlyFiles {
 public:
  /// Calls the engine's own function; the errno, or what ended the guest.
  using Call = std::function<Expected<std::uint32_t>(std::span<const Value> arguments)>;

  void add(std::uint32_t descriptor) { descriptors_.insert(descriptor); }

  /// Passes the guest's call of function `index` of the list on to `call`, or refuses it with an errno of its
  /// own. `memory` is the guest's.
  Expected<std::uint32_t> pass(std::size_t index, const GuestMemory& memory, std::span<const Value> arguments,
                               const Call& call);

 private:
  Expected<std::uint32_t> open(const GuestMemory& memory, std::span<const Value> arguments, const Call& call);
  [[nodiscard]] bool has(const Value& descriptor) const { return descriptors_.contains(descriptor.i32); }

  std::set<std::uint32_t> descriptors_;
};

}  // namespace wasmgrad::sandbox
