// Relaxed SIMD as the engine's compiler can digest it. Private to sandbox/.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace wasmgrad::sandbox {

/// The module with two negations of integers, which cancel out, after each relaxed instruction: WasmEdge 0.14
/// forgets that results of these instructions are plain bits, makes code that is not valid where bits are
/// expected, and may crash. No value changes, and the negations cost nothing once compiled. Nothing when the
/// module has no relaxed instructions, or is malformed.
std::optional<std::vector<std::byte>> with_plain_relaxed_results(std::span<const std::byte> module);

}  // namespace wasmgrad::sandbox
