#include "wasmgrad/base/byte_size.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <utility>

#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad {

namespace {

constexpr std::uint64_t kPage = 65536;
constexpr std::uint64_t kMostPages = 65536;
constexpr std::pair<std::string_view, int> kUnits[] = {
    {"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"", 0}};

}  // namespace

Expected<std::uint64_t> parse_byte_size(std::string_view text) {
  std::uint64_t count = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
  const auto* const unit = std::ranges::find(kUnits, std::string_view(end, text.data() + text.size()),
                                             [](const auto& unit) { return unit.first; });
  if (problem != std::errc() || unit == std::end(kUnits) ||
      count > std::numeric_limits<std::uint64_t>::max() >> unit->second) {
    return Error{Errc::kInvalidArgument,
                 in_quotes(text) + " is no number of bytes; expected one such as 1048576 or 512MiB"};
  }
  return count << unit->second;
}

Expected<std::uint32_t> parse_memory_size(std::string_view text) {
  WASMGRAD_ASSIGN(const std::uint64_t bytes, parse_byte_size(text));
  if (bytes == 0 || bytes % kPage != 0 || bytes / kPage > kMostPages) {
    return Error{Errc::kInvalidArgument,
                 in_quotes(text) + " is no size of a memory; expected a multiple of 64KiB up to 4GiB"};
  }
  return static_cast<std::uint32_t>(bytes / kPage);
}

std::string byte_size_text(std::uint64_t bytes) {
  const auto* const unit = std::ranges::find_if(
      kUnits, [&](const auto& unit) { return (bytes >> unit.second) << unit.second == bytes && bytes != 0; });
  if (unit == std::end(kUnits)) return "0";
  return std::to_string(bytes >> unit->second) + std::string(unit->first);
}

}  // namespace wasmgrad
