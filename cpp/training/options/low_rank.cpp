#include "wasmgrad/training/options/low_rank.hpp"

#include <charconv>
#include <cmath>
#include <optional>

#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::training {

namespace {

constexpr std::int64_t kMaxRank = 4096;

template <class T>
std::optional<T> number_in(std::string_view text) {
  T value{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Expected<LowRank> parse_low_rank(std::string_view text) {
  const std::size_t first = text.find(':');
  const std::string_view rest = first == std::string_view::npos ? "" : text.substr(first + 1);
  const std::size_t second = rest.find(':');
  const auto rank = number_in<std::int64_t>(rest.substr(0, second));
  std::optional<double> alpha = rank;
  if (second != std::string_view::npos) alpha = number_in<double>(rest.substr(second + 1));
  if (first == 0 || !rank || *rank < 1 || *rank > kMaxRank || !alpha || !std::isfinite(*alpha)) {
    return invalid("lora is '" + printable(std::string(text)) +
                   "'; expected PATTERN:RANK or PATTERN:RANK:ALPHA, such as '*.attn.*:8', "
                   "with a rank of 1 to " +
                   std::to_string(kMaxRank));
  }
  return LowRank{std::string(text.substr(0, first)), *rank, *alpha};
}

}  // namespace wasmgrad::training
