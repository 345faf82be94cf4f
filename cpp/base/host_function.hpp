// What a host function is, without an engine: a name, a signature and a C++ callable over guest memory.
//
// `abi` produces these, `sandbox` (WasmEdge), the plugin and other engines' adapters register them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

enum class ValueType : std::uint8_t { kI32, kI64, kF32, kF64 };

/// One core-wasm value; which member is live is given by the signature.
union Value {
  std::uint32_t i32;
  std::uint64_t i64;
  float f32;
  double f64;
};

struct HostFunction {
  std::string module;
  std::string name;
  std::vector<ValueType> parameters;
  std::vector<ValueType> results;
  /// Called on the guest's thread. An error becomes a trap that carries its sentence. Must not throw.
  std::function<Status(GuestMemory memory, std::span<const Value> arguments, std::span<Value> results)> call;
  /// Whether a call may open files. One that does not costs less where the guest's own are counted.
  bool opens_files = true;
};

}  // namespace wasmgrad
