// The bytes of a WebAssembly module, read and written piece by piece. It must not know what any section
// means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace wasmgrad::sandbox {

/// Magic number and version, before the first section.
inline constexpr std::size_t kWasmHeaderBytes = 8;

/// Writes an unsigned LEB128 number.
inline void append_number(std::vector<std::byte>& out, std::size_t number) {
  for (; number >= 0x80; number >>= 7) out.push_back(static_cast<std::byte>((number & 0x7f) | 0x80));
  out.push_back(static_cast<std::byte>(number));
}

/// Reads on until the bytes end or are malformed; then every read gives nothing. A number that does not fit
/// 32 bits is malformed, as it is for engines; one that takes more bytes than it needs, up to five, is not.
class SectionReader {
 public:
  explicit SectionReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::optional<std::uint8_t> byte() {
    if (bytes_.empty()) return std::nullopt;
    const auto value = std::to_integer<std::uint8_t>(bytes_.front());
    bytes_ = bytes_.subspan(1);
    return value;
  }

  /// An unsigned LEB128 number of 32 bits.
  std::optional<std::uint32_t> number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const auto part = byte();
      if (!part) return std::nullopt;
      value |= static_cast<std::uint64_t>(*part & 0x7f) << shift;
      if ((*part & 0x80) != 0) continue;
      return std::in_range<std::uint32_t>(value) ? std::optional(static_cast<std::uint32_t>(value))
                                                 : std::nullopt;
    }
    return std::nullopt;
  }

  /// A signed LEB128 number of 32 bits.
  std::optional<std::int32_t> signed_number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 35;) {
      const auto part = byte();
      if (!part) return std::nullopt;
      value |= static_cast<std::uint64_t>(*part & 0x7f) << shift;
      shift += 7;
      if ((*part & 0x80) != 0) continue;
      if ((*part & 0x40) != 0) value |= ~std::uint64_t{0} << shift;
      const auto number = static_cast<std::int64_t>(value);
      return std::in_range<std::int32_t>(number) ? std::optional(static_cast<std::int32_t>(number))
                                                 : std::nullopt;
    }
    return std::nullopt;
  }

  std::optional<std::span<const std::byte>> take(std::optional<std::uint32_t> count) {
    if (!count || *count > bytes_.size()) return std::nullopt;
    const auto taken = bytes_.first(*count);
    bytes_ = bytes_.subspan(*count);
    return taken;
  }

  [[nodiscard]] std::span<const std::byte> rest() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace wasmgrad::sandbox
