// Building blocks for hand-made archives and pickles in tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/training/torch/vet/crc32.hpp"

namespace wasmgrad::training::vet::test {

inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

inline void append(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

/// A zip archive of uncompressed records.
inline std::string make_zip(std::initializer_list<std::pair<std::string_view, std::string_view>> records) {
  std::string body;
  std::string directory;
  for (const auto& [name, data] : records) {
    const std::size_t offset = body.size();
    std::string fields;
    append(fields, 0, 8);  // flags, method, time, date
    append(fields, crc32(as_bytes(data)), 4);
    append(fields, data.size(), 4);
    append(fields, data.size(), 4);
    append(fields, name.size(), 2);
    append(fields, 0, 2);
    append(body, 0x04034b50, 4);
    append(body, 20, 2);
    body += fields;
    body += name;
    body += data;
    append(directory, 0x02014b50, 4);
    append(directory, 20 | 20 << 16, 4);
    directory += fields;
    append(directory, 0, 8);
    append(directory, 0, 2);
    append(directory, offset, 4);
    directory += name;
  }
  std::string zip = body + directory;
  append(zip, 0x06054b50, 4);
  append(zip, 0, 4);
  append(zip, records.size(), 2);
  append(zip, records.size(), 2);
  append(zip, directory.size(), 4);
  append(zip, body.size(), 4);
  append(zip, 0, 2);
  return zip;
}

}  // namespace wasmgrad::training::vet::test
