// Read-only bytes that live in memory or in a file, for what is too large to have in memory twice. It must
// not know what the bytes mean. Files are not mapped: one that is cut short meanwhile is an error, no signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "wasmgrad/base/open_beneath.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

class ByteSource {
 public:
  /// Memory, borrowed.
  ByteSource(std::span<const std::byte> bytes = {}) noexcept
      : memory_(bytes), size_(bytes.size()) {}  // NOLINT(google-explicit-constructor)

  /// A regular file. Errors: kNotFound, kRuntimeError.
  static Expected<ByteSource> open(const std::filesystem::path& path);

  /// A regular file that is open for reading; the caller keeps `fd`. Errors: kRuntimeError.
  static Expected<ByteSource> of_file(int fd);

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// Fills `target` with what begins at `offset`. Errors: kRuntimeError when the bytes end before.
  [[nodiscard]] Status read(std::uint64_t offset, std::span<std::byte> target) const;

 private:
  std::span<const std::byte> memory_;  // unless there is a file
  UniqueFd file_;
  std::uint64_t size_;
};

}  // namespace wasmgrad
