#include "wasmgrad/base/utf8.hpp"

#include <algorithm>
#include <cstddef>

namespace wasmgrad {

bool is_utf8(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char lead = at(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                               : lead >= 0xE0 && lead <= 0xEF ? 3
                               : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                              : 0;
    if (length == 0 || text.size() - i < length) return false;
    const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at(i + 1) < low || at(i + 1) > high) return false;
    for (std::size_t j = 2; j < length; ++j) {
      if ((at(i + j) & 0xC0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

std::string printable(std::string text) {
  const bool only_ascii = !is_utf8(text);
  std::ranges::replace_if(
      text,
      [only_ascii](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7F || (only_ascii && byte >= 0x80);
      },
      '?');
  return text;
}

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kShown = 100;
  return "'" + printable(std::string(name.substr(0, kShown))) + (name.size() > kShown ? "..." : "") + "'";
}

std::string quoted(std::string_view name, std::string_view fallback) {
  return name.empty() ? std::string(fallback) : "'" + std::string(name) + "'";
}

}  // namespace wasmgrad
