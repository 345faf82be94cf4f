// A zip archive without fault around the records that an input describes: a damaged one would be refused for
// its checksums before anything else is looked at.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "fuzz.hpp"
#include "wasmgrad/training/torch/vet/crc32.hpp"

namespace wasmgrad::fuzz {

inline void append(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

class Zip {
 public:
  void add(std::string_view name, std::span<const std::byte> data) {
    std::string fields;
    append(fields, 0, 8);  // flags, method, time, date
    append(fields, training::vet::crc32(data), 4);
    append(fields, data.size(), 4);
    append(fields, data.size(), 4);
    append(fields, name.size(), 2);
    append(fields, 0, 2);
    append(directory_, 0x02014b50, 4);
    append(directory_, 20 | 20 << 16, 4);
    directory_ += fields;
    append(directory_, 0, 8);
    append(directory_, 0, 2);
    append(directory_, body_.size(), 4);
    directory_ += name;
    append(body_, 0x04034b50, 4);
    append(body_, 20, 2);
    body_ += fields;
    body_ += name;
    body_ += as_text(data);
    ++records_;
  }

  [[nodiscard]] std::string finish() const {
    std::string zip = body_ + directory_;
    append(zip, 0x06054b50, 4);
    append(zip, 0, 4);
    append(zip, records_, 2);
    append(zip, records_, 2);
    append(zip, directory_.size(), 4);
    append(zip, body_.size(), 4);
    append(zip, 0, 2);
    return zip;
  }

 private:
  std::string body_, directory_;
  std::uint64_t records_ = 0;
};

// Records as `name length, name, two bytes of length, contents`.
inline std::string make_archive(Reader input) {
  Zip zip;
  while (!input.rest().empty()) {
    const auto name = input.take(input.number<std::uint8_t>());
    zip.add(as_text(name), input.take(input.number<std::uint16_t>()));
  }
  return zip.finish();
}

}  // namespace wasmgrad::fuzz
