#include "wasmgrad/sandbox/wasmtime_values.hpp"

#include <optional>
#include <vector>

namespace wasmgrad::sandbox::wasmtime {

namespace {

std::optional<ValueType> type_of(ValKind kind) {
  if (kind > static_cast<ValKind>(ValueType::kF64)) return std::nullopt;
  return static_cast<ValueType>(kind);
}

}  // namespace

Signature signature_of(const Api& api, const FuncType* type) {
  const auto types = [&](const Vector<ValType>& engine_types) {
    std::vector<std::optional<ValueType>> result;
    for (std::size_t i = 0; i < engine_types.size; ++i)
      result.push_back(type_of(api.wasm_valtype_kind(engine_types.data[i])));
    return result;
  };
  Signature signature;
  signature.parameters = types(*api.wasm_functype_params(type));
  signature.results = types(*api.wasm_functype_results(type));
  return signature;
}

Owned<FuncType> make_type(const Api& api, const HostFunction& function) {
  const auto vector = [&](const std::vector<ValueType>& types) {
    std::vector<ValType*> engine_types;
    for (const ValueType type : types)
      engine_types.push_back(api.wasm_valtype_new(static_cast<ValKind>(type)));
    Vector<ValType> result{};
    api.wasm_valtype_vec_new(&result, engine_types.size(), engine_types.data());
    return result;
  };
  Vector<ValType> parameters = vector(function.parameters), results = vector(function.results);
  return {api.wasm_functype_new(&parameters, &results), Deleter{&api}};
}

Value from_engine(const RawValue& raw, ValueType type) {
  Value value{.i64 = 0};
  switch (type) {
    case ValueType::kI32:
      value.i32 = static_cast<std::uint32_t>(raw.i32);
      break;
    case ValueType::kI64:
      value.i64 = static_cast<std::uint64_t>(raw.i64);
      break;
    case ValueType::kF32:
      value.f32 = raw.f32;
      break;
    case ValueType::kF64:
      value.f64 = raw.f64;
      break;
  }
  return value;
}

RawValue to_engine(Value value, ValueType type) {
  RawValue raw{.i64 = 0};
  switch (type) {
    case ValueType::kI32:
      raw.i64 = value.i32;
      break;
    case ValueType::kI64:
      raw.i64 = static_cast<std::int64_t>(value.i64);
      break;
    case ValueType::kF32:
      raw.f32 = value.f32;
      break;
    case ValueType::kF64:
      raw.f64 = value.f64;
      break;
  }
  return raw;
}

}  // namespace wasmgrad::sandbox::wasmtime
