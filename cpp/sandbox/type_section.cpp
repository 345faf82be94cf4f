#include "wasmgrad/sandbox/type_section.hpp"

#include <cstdint>
#include <optional>

namespace wasmgrad::sandbox {

namespace {

constexpr std::size_t kHeaderBytes = 8;
constexpr std::uint8_t kTypeSection = 1;
constexpr std::uint8_t kFunctionForm = 0x60;

// Reads on until the bytes end or are malformed; then every read gives nothing.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::optional<std::uint8_t> byte() {
    if (bytes_.empty()) return std::nullopt;
    const auto value = std::to_integer<std::uint8_t>(bytes_.front());
    bytes_ = bytes_.subspan(1);
    return value;
  }

  // An unsigned LEB128 number of 32 bits.
  std::optional<std::uint32_t> number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const auto part = byte();
      if (!part) return std::nullopt;
      value |= static_cast<std::uint64_t>(*part & 0x7f) << shift;
      if ((*part & 0x80) == 0) return static_cast<std::uint32_t>(value);
    }
    return std::nullopt;
  }

  std::optional<std::span<const std::byte>> take(std::optional<std::uint32_t> count) {
    if (!count || *count > bytes_.size()) return std::nullopt;
    const auto taken = bytes_.first(*count);
    bytes_ = bytes_.subspan(*count);
    return taken;
  }

 private:
  std::span<const std::byte> bytes_;
};

bool has_other_forms(std::span<const std::byte> section) {
  Reader reader(section);
  const auto count = reader.number();
  for (std::uint32_t i = 0; count && i < *count; ++i) {
    const auto form = reader.byte();
    if (!form) return false;
    if (*form != kFunctionForm) return true;
    // Parameters and results: value types of one byte each. Longer ones are refused by the engine's loader.
    if (!reader.take(reader.number()) || !reader.take(reader.number())) return false;
  }
  return false;
}

}  // namespace

bool declares_gc_types(std::span<const std::byte> module) noexcept {
  if (module.size() < kHeaderBytes) return false;
  Reader reader(module.subspan(kHeaderBytes));
  while (const auto id = reader.byte()) {
    const auto section = reader.take(reader.number());
    if (!section) return false;
    if (*id == kTypeSection) return has_other_forms(*section);
  }
  return false;
}

}  // namespace wasmgrad::sandbox
