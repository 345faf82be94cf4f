// The memory that a core module of a component defines, before an engine sees the module: one guest has one
// memory that can grow. Private to sandbox/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace wasmgrad::sandbox::component {

/// How many pages the module's own memory begins with. Nothing when it defines none, several, or one that is
/// not as the first version of WebAssembly has them, which engines refuse by themselves.
std::optional<std::uint32_t> memory_pages(std::span<const std::byte> module);

/// The module with a memory that stays at the pages it begins with, which memory_pages() has found.
std::vector<std::byte> with_fixed_memory(std::span<const std::byte> module);

}  // namespace wasmgrad::sandbox::component
