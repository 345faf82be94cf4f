// The archives that the fixture wrote.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace wasmgrad::training::pt2 {

inline std::vector<std::byte> read_file(const std::string& name) {
  const std::string path = std::string(std::getenv("WASMGRAD_TEST_PROGRAMS")) + "/" + name;
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
  return {begin, begin + bytes.size()};
}

inline constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 20;

}  // namespace wasmgrad::training::pt2
