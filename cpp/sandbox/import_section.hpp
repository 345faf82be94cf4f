// Which module a guest imports a function from, changed before the engine sees it. Private to sandbox/.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace wasmgrad::sandbox {

/// The module with the functions that it imports from `from`, and whose names are `chosen`, imported from
/// `to` in place. Nothing when there are none, or when it imports anything that is not a function.
std::optional<std::vector<std::byte>> with_imports_moved(
    std::span<const std::byte> module, std::string_view from, std::string_view to,
    const std::function<bool(std::string_view name)>& chosen);

}  // namespace wasmgrad::sandbox
