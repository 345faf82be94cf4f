#include "wasmgrad/base/guest_memory.hpp"

#include <cstdio>
#include <string>

namespace wasmgrad {

Expected<std::span<std::byte>> GuestMemory::writable_bytes(std::uint32_t address, std::uint64_t length,
                                                           std::string_view what) const {
  // `address` is at most 2^32-1, so once `length` is known to fit the memory the sum cannot wrap.
  if (length > memory_.size() || address > memory_.size() - length) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "0x%x", address);
    return Error{Errc::kInvalidArgument, std::string(what) + " of " + std::to_string(length) + " bytes at " +
                                             hex + " runs past the end of guest memory (" +
                                             std::to_string(memory_.size()) + " bytes)"};
  }
  return memory_.subspan(address, length);
}

Expected<std::span<const std::byte>> GuestMemory::bytes(std::uint32_t address, std::uint64_t length,
                                                        std::string_view what) const {
  WASMGRAD_ASSIGN(const std::span<std::byte> range, writable_bytes(address, length, what));
  return std::span<const std::byte>(range);
}

Expected<std::string_view> GuestMemory::text(std::uint32_t address, std::uint64_t length,
                                             std::string_view what) const {
  WASMGRAD_ASSIGN(auto range, bytes(address, length, what));
  return std::string_view(reinterpret_cast<const char*>(range.data()), range.size());
}

}  // namespace wasmgrad
