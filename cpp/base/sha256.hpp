// SHA-256 of bytes: names cached files by their content and tells a damaged one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace wasmgrad {

class Sha256 {
 public:
  using Digest = std::array<std::byte, 32>;

  Sha256& update(std::span<const std::byte> data) noexcept;
  /// The digest of all that was given; the object must not be used afterwards.
  Digest finish() noexcept;

 private:
  void compress(const std::byte* block) noexcept;

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  std::uint64_t length_ = 0;  // bytes so far
};

/// Lower-case hexadecimal.
std::string to_hex(std::span<const std::byte> bytes);

}  // namespace wasmgrad
