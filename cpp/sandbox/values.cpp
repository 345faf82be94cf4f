#include "wasmgrad/sandbox/values.hpp"

#include <cstdint>
#include <vector>

namespace wasmgrad::sandbox {

namespace {

std::vector<std::optional<ValueType>> from_engine(const std::vector<WasmEdge_ValType>& types) {
  std::vector<std::optional<ValueType>> converted;
  for (const WasmEdge_ValType type : types) converted.push_back(sandbox::from_engine(type));
  return converted;
}

}  // namespace

WasmEdge_ValType to_engine(ValueType type) {
  switch (type) {
    case ValueType::kI32:
      return WasmEdge_ValTypeGenI32();
    case ValueType::kI64:
      return WasmEdge_ValTypeGenI64();
    case ValueType::kF32:
      return WasmEdge_ValTypeGenF32();
    case ValueType::kF64:
      break;
  }
  return WasmEdge_ValTypeGenF64();
}

std::optional<ValueType> from_engine(WasmEdge_ValType type) {
  if (WasmEdge_ValTypeIsI32(type)) return ValueType::kI32;
  if (WasmEdge_ValTypeIsI64(type)) return ValueType::kI64;
  if (WasmEdge_ValTypeIsF32(type)) return ValueType::kF32;
  if (WasmEdge_ValTypeIsF64(type)) return ValueType::kF64;
  return std::nullopt;
}

std::span<std::byte> bytes_of(WasmEdge_MemoryInstanceContext* memory) {
  constexpr std::uint64_t kPageBytes = 65536;
  const std::uint64_t pages = memory != nullptr ? WasmEdge_MemoryInstanceGetPageSize(memory) : 0;
  if (pages == 0) return {};
  // Only the first byte is asked for: the engine's length parameter cannot express all of 4 GiB.
  return {reinterpret_cast<std::byte*>(WasmEdge_MemoryInstanceGetPointer(memory, 0, 1)), pages * kPageBytes};
}

Signature signature_of(const WasmEdge_FunctionTypeContext* type) {
  Signature signature;
  std::vector<WasmEdge_ValType> types(WasmEdge_FunctionTypeGetParametersLength(type));
  WasmEdge_FunctionTypeGetParameters(type, types.data(), static_cast<std::uint32_t>(types.size()));
  signature.parameters = from_engine(types);
  types.resize(WasmEdge_FunctionTypeGetReturnsLength(type));
  WasmEdge_FunctionTypeGetReturns(type, types.data(), static_cast<std::uint32_t>(types.size()));
  signature.results = from_engine(types);
  return signature;
}

}  // namespace wasmgrad::sandbox
