// Which engine runs a guest: for those who only choose one.
#pragma once

#include <cstdint>

namespace wasmgrad::sandbox {

enum class EngineKind : std::uint8_t { kWasmEdge, kWasmtime };

}  // namespace wasmgrad::sandbox
