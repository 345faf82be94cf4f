// Text from strangers: whether it is UTF-8, and how it is shown.
#pragma once

#include <string>
#include <string_view>

namespace wasmgrad {

/// As RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) noexcept;

/// A sentence that quotes such text, on one line: control characters, and all beyond ASCII where it is not
/// UTF-8, become question marks.
std::string printable(std::string text);

/// 'name', printable, and cut when it is long.
std::string in_quotes(std::string_view name);

/// A name in quotes for errors, as it is, or `fallback` when it has none.
std::string quoted(std::string_view name, std::string_view fallback);

}  // namespace wasmgrad
