// Values and signatures between WasmEdge's types and ours. Private to sandbox/.
#pragma once

#include <wasmedge/wasmedge.h>

#include <cstddef>
#include <optional>
#include <span>

#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/sandbox/signature.hpp"

namespace wasmgrad::sandbox {

WasmEdge_ValType to_engine(ValueType type);
/// nullopt for vectors and references, which host functions do not have.
std::optional<ValueType> from_engine(WasmEdge_ValType type);

inline WasmEdge_Value to_engine(Value value, ValueType type) {
  switch (type) {
    case ValueType::kI32:
      return WasmEdge_ValueGenI32(static_cast<std::int32_t>(value.i32));
    case ValueType::kI64:
      return WasmEdge_ValueGenI64(static_cast<std::int64_t>(value.i64));
    case ValueType::kF32:
      return WasmEdge_ValueGenF32(value.f32);
    case ValueType::kF64:
      break;
  }
  return WasmEdge_ValueGenF64(value.f64);
}

inline Value from_engine(const WasmEdge_Value& value, ValueType type) {
  Value converted{.i64 = 0};
  switch (type) {
    case ValueType::kI32:
      converted.i32 = static_cast<std::uint32_t>(WasmEdge_ValueGetI32(value));
      break;
    case ValueType::kI64:
      converted.i64 = static_cast<std::uint64_t>(WasmEdge_ValueGetI64(value));
      break;
    case ValueType::kF32:
      converted.f32 = WasmEdge_ValueGetF32(value);
      break;
    case ValueType::kF64:
      converted.f64 = WasmEdge_ValueGetF64(value);
      break;
  }
  return converted;
}

/// All of a memory; nothing for a null pointer. A guest that grows its memory may move it.
std::span<std::byte> bytes_of(WasmEdge_MemoryInstanceContext* memory);

/// As the engine reports it.
Signature signature_of(const WasmEdge_FunctionTypeContext* type);

}  // namespace wasmgrad::sandbox
