// The operators that a model may use. Everything else is refused by name.
#pragma once

#include <string_view>

namespace wasmgrad::training::vet {

/// Whether the operator with this qualified name ("aten::relu", "prim::If") may be used, whatever its
/// overload.
bool operator_allowed(std::string_view qualified_name) noexcept;

/// Whether this overload ("out", "Tensor_out", ...) of an allowed operator may run: those that write into a
/// tensor that is passed as `out` resize it, and may not.
bool overload_allowed(std::string_view overload) noexcept;

}  // namespace wasmgrad::training::vet
