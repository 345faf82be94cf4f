// Values and function types between wasmtime and the host. Private to sandbox/.
#pragma once

#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/sandbox/signature.hpp"
#include "wasmgrad/sandbox/wasmtime_api.hpp"

namespace wasmgrad::sandbox::wasmtime {

/// Types that no host function has are absent in it.
Signature signature_of(const Api& api, const FuncType* type);
Owned<FuncType> make_type(const Api& api, const HostFunction& function);

Value from_engine(const RawValue& raw, ValueType type);
RawValue to_engine(Value value, ValueType type);

}  // namespace wasmgrad::sandbox::wasmtime
