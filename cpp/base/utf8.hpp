// Whether text is UTF-8.
#pragma once

#include <string_view>

namespace wasmgrad {

/// As RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) noexcept;

}  // namespace wasmgrad
