// Read-only bytes that live in memory or in a file, for what is too large to have in memory twice. It must
// not know what the bytes mean.
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
      : bytes_(bytes) {}  // NOLINT(google-explicit-constructor)

  /// A regular file. Errors: kNotFound, kRuntimeError.
  static Expected<ByteSource> open(const std::filesystem::path& path);

  /// A regular file that is open for reading; the caller keeps `fd`. Errors: kRuntimeError.
  static Expected<ByteSource> of_file(int fd);

  ByteSource(ByteSource&& other) noexcept;
  ByteSource& operator=(ByteSource&& other) noexcept;
  ~ByteSource();

  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

  /// All bytes. A file is mapped: pages that are looked at count as memory of this process.
  [[nodiscard]] std::span<const std::byte> view() const noexcept { return bytes_; }

  /// Fills `target` with what begins at `offset`, without its pages of the file. Errors: kRuntimeError when
  /// the bytes end before.
  [[nodiscard]] Status read(std::uint64_t offset, std::span<std::byte> target) const;

 private:
  std::span<const std::byte> bytes_;
  UniqueFd file_;  // what `bytes_` maps; none: they are borrowed
};

}  // namespace wasmgrad
