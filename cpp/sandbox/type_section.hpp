// A look at a module's types before the engine sees them. Private to sandbox/.
#pragma once

#include <cstddef>
#include <span>

namespace wasmgrad::sandbox {

/// Whether the module declares types that are no functions (structs, arrays, recursive groups, subtypes),
/// which the engine's loader lets pass with garbage collection off and its compiler does not survive. False
/// for bytes that are no module.
bool declares_gc_types(std::span<const std::byte> module) noexcept;

}  // namespace wasmgrad::sandbox
