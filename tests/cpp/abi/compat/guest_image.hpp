// A guest's linear memory built by hand: bytes at addresses, and tensor records as the compatibility imports
// lay them out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "wasmgrad/abi/compat/layout.hpp"
#include "wasmgrad/base/guest_memory.hpp"

namespace wasmgrad::test {

class GuestImage {
 public:
  static constexpr std::uint32_t kBytes = 65536;

  GuestImage() : memory_(kBytes) {}

  [[nodiscard]] GuestMemory memory() { return GuestMemory(memory_); }

  /// Copies `size` bytes in and returns their address.
  std::uint32_t put(const void* data, std::size_t size) {
    const std::uint32_t address = next_;
    if (size != 0) std::memcpy(memory_.data() + address, data, size);
    next_ += static_cast<std::uint32_t>((size + 7) / 8 * 8);
    return address;
  }
  template <class T>
  std::uint32_t put(const std::vector<T>& values) {
    return put(values.data(), values.size() * sizeof(T));
  }
  std::uint32_t put(std::string_view text) { return put(text.data(), text.size()); }

  void set_u32(std::uint32_t address, std::uint32_t value) {
    std::memcpy(memory_.data() + address, &value, 4);
  }
  void set_u8(std::uint32_t address, std::uint8_t value) { std::memcpy(memory_.data() + address, &value, 1); }

  /// A record with its data, dimensions and name; returns the record's address.
  template <class T>
  std::uint32_t tensor(const std::vector<T>& data, const std::vector<std::uint32_t>& dims,
                       abi::compat::DType dtype, std::string_view name) {
    namespace compat = abi::compat;
    const std::uint32_t data_address = put(data);
    const std::uint32_t dims_address = put(dims);
    const std::uint32_t name_address = put(name);
    const std::uint32_t record = put(std::vector<std::byte>(compat::kRecordBytes));
    set_u32(record + compat::kDataPointer, data_address);
    set_u32(record + compat::kDataBytes, static_cast<std::uint32_t>(data.size() * sizeof(T)));
    set_u32(record + compat::kDimsPointer, dims_address);
    set_u32(record + compat::kDimsBytes, static_cast<std::uint32_t>(dims.size() * 4));
    set_u8(record + compat::kDType, static_cast<std::uint8_t>(dtype));
    set_u32(record + compat::kNamePointer, name_address);
    set_u32(record + compat::kNameBytes, static_cast<std::uint32_t>(name.size()));
    return record;
  }

 private:
  std::vector<std::byte> memory_;
  std::uint32_t next_ = 1024;
};

}  // namespace wasmgrad::test
