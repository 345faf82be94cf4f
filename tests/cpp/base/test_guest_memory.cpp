#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "wasmgrad/base/guest_memory.hpp"

namespace wasmgrad {
namespace {

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();

struct Fixture {
  std::array<std::byte, 64> storage{};
  GuestMemory memory{storage};
};

TEST_CASE_FIXTURE(Fixture, "a range inside the memory is the guest's own bytes") {
  auto range = memory.bytes(8, 16, "data");
  REQUIRE(range);
  CHECK(range->data() == storage.data() + 8);
  CHECK(range->size() == 16);
}

TEST_CASE_FIXTURE(Fixture, "a range may end exactly at the end") { CHECK(memory.bytes(60, 4, "data")); }

TEST_CASE_FIXTURE(Fixture, "a range one byte too long is refused") {
  CHECK_FALSE(memory.bytes(60, 5, "data"));
}

TEST_CASE_FIXTURE(Fixture, "an empty range at the end is allowed, one byte further it is not") {
  CHECK(memory.bytes(64, 0, "data"));
  CHECK_FALSE(memory.bytes(65, 0, "data"));
}

TEST_CASE_FIXTURE(Fixture, "a range whose end wraps around 32 bits is refused") {
  CHECK_FALSE(memory.bytes(kMax32, 2, "data"));
  CHECK_FALSE(memory.bytes(16, kMax32, "data"));
}

TEST_CASE_FIXTURE(Fixture, "a range whose end wraps around 64 bits is refused") {
  CHECK_FALSE(memory.bytes(16, kMax64 - 8, "data"));
}

TEST_CASE_FIXTURE(Fixture, "the error names what was read, where, and how large the memory is") {
  auto range = memory.bytes(0x30, 100, "tensor 0: data");
  REQUIRE_FALSE(range);
  CHECK(range.error().code == Errc::kInvalidArgument);
  CHECK(range.error().message ==
        "tensor 0: data of 100 bytes at 0x30 runs past the end of guest memory (64 bytes)");
}

TEST_CASE_FIXTURE(Fixture, "the error of the highest address is complete") {
  CHECK(memory.bytes(kMax32, 1, "p").error().message.find("0xffffffff") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "scalars are read little-endian from unaligned addresses") {
  storage[3] = std::byte{0x78};
  storage[4] = std::byte{0x56};
  storage[5] = std::byte{0x34};
  storage[6] = std::byte{0x12};
  CHECK(memory.read<std::uint32_t>(3, "length").value() == 0x12345678);
}

TEST_CASE_FIXTURE(Fixture, "a scalar that straddles the end is refused") {
  CHECK(memory.read<std::uint32_t>(60, "length"));
  CHECK_FALSE(memory.read<std::uint32_t>(61, "length"));
}

TEST_CASE_FIXTURE(Fixture, "text keeps embedded zero bytes") {
  storage[0] = std::byte{'a'};
  storage[2] = std::byte{'b'};
  CHECK(memory.text(0, 3, "name").value() == std::string_view("a\0b", 3));
}

TEST_CASE("an empty memory holds the empty range only") {
  const GuestMemory memory{std::span<std::byte>()};
  CHECK(memory.size() == 0);
  CHECK(memory.bytes(0, 0, "data"));
  CHECK_FALSE(memory.bytes(0, 1, "data"));
}

}  // namespace
}  // namespace wasmgrad
