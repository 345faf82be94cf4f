// Where a call's results go in guest memory, checked before any work is done: a call whose results have no
// place must not have happened.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi {

/// Room for one value of a fixed layout. It may be unaligned.
template <class T>
  requires std::is_trivially_copyable_v<T>
class ValueResult {
 public:
  /// Errors: kInvalidArgument when it is not all inside the memory.
  static Expected<ValueResult> at(const GuestMemory& memory, std::uint32_t address, std::string_view what) {
    WASMGRAD_ASSIGN(const auto range, memory.writable_bytes(address, sizeof(T), what));
    return ValueResult(range);
  }
  void write(const T& value) const { std::memcpy(range_.data(), &value, sizeof(T)); }

 private:
  explicit ValueResult(std::span<std::byte> range) : range_(range) {}
  std::span<std::byte> range_;
};

/// (buffer, buffer_bytes, written): room for a result whose size the guest need not know.
class BytesResult {
 public:
  /// Errors: kInvalidArgument when either is not all inside the memory.
  static Expected<BytesResult> at(const GuestMemory& memory, std::uint32_t buffer, std::uint32_t buffer_bytes,
                                  std::uint32_t written) {
    WASMGRAD_ASSIGN(const auto range, memory.writable_bytes(buffer, buffer_bytes, "buffer"));
    WASMGRAD_ASSIGN(const auto size, ValueResult<std::uint32_t>::at(memory, written, "written"));
    return BytesResult(range, size);
  }

  /// Only the size is wanted.
  [[nodiscard]] bool is_query() const noexcept { return buffer_.empty(); }

  /// Stores `size`, and lets fill(std::span<std::byte>), which returns a Status, write so many bytes, when
  /// they fit and more than the size was asked for. Errors: kTooLarge when they do not fit, or a guest could
  /// not address them; those of fill().
  template <class Fill>
  [[nodiscard]] Status fill(std::uint64_t size, Fill&& fill) const {
    if (size > UINT32_MAX) {
      return Error{Errc::kTooLarge,
                   "the result has " + std::to_string(size) + " bytes, more than a guest can address"};
    }
    const bool fits = size <= buffer_.size();
    if (fits && !is_query()) WASMGRAD_CHECK(fill(buffer_.first(size)));
    written_.write(static_cast<std::uint32_t>(size));
    if (fits || is_query()) return {};
    return Error{Errc::kTooLarge, "the result has " + std::to_string(size) +
                                      " bytes, but the buffer has room for " +
                                      std::to_string(buffer_.size())};
  }

  /// The same for bytes that exist.
  [[nodiscard]] Status write(std::span<const std::byte> bytes) const {
    return fill(bytes.size(), [&](std::span<std::byte> to) {
      std::ranges::copy(bytes, to.begin());
      return Status();
    });
  }

 private:
  BytesResult(std::span<std::byte> buffer, ValueResult<std::uint32_t> written)
      : buffer_(buffer), written_(written) {}
  std::span<std::byte> buffer_;
  ValueResult<std::uint32_t> written_;
};

}  // namespace wasmgrad::abi
