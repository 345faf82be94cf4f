#include <doctest/doctest.h>

#include "wasmgrad/base/byte_size.hpp"

using namespace wasmgrad;

TEST_CASE("numbers of bytes are read, and written as they are read") {
  constexpr std::uint64_t kOne = 1;
  for (const auto& [text, bytes] : {std::pair<const char*, std::uint64_t>{"0", 0},
                                    {"1", 1},
                                    {"1023", 1023},
                                    {"1KiB", 1024},
                                    {"512MiB", kOne << 29},
                                    {"3GiB", 3 * (kOne << 30)},
                                    {"1TiB", kOne << 40},
                                    {"18446744073709551615", ~std::uint64_t{0}},
                                    {"16777215TiB", 16777215 * (kOne << 40)}}) {
    CAPTURE(text);
    const auto parsed = parse_byte_size(text);
    REQUIRE(parsed);
    CHECK(*parsed == bytes);
    CHECK(byte_size_text(bytes) == text);
  }
  CHECK(parse_byte_size("1024KiB").value() == kOne << 20);
  CHECK(byte_size_text(1536 * 1024) == "1536KiB");
}

TEST_CASE("what is no number of bytes is refused") {
  for (const char* text : {"", "MiB", "-1", "+1", " 1", "1 MiB", "1MB", "1mib", "1MiBs", "0x10", "1.5GiB",
                           "18446744073709551616", "16777216TiB", "17179869184GiB"}) {
    CAPTURE(text);
    const auto parsed = parse_byte_size(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::kInvalidArgument);
  }
  CHECK(parse_byte_size("1MB").error().message ==
        "'1MB' is no number of bytes; expected one such as 1048576 or 512MiB");
}

TEST_CASE("a memory has 1 to 65536 pages of 64 KiB") {
  CHECK(parse_memory_size("64KiB").value() == 1);
  CHECK(parse_memory_size("65536").value() == 1);
  CHECK(parse_memory_size("512MiB").value() == 8192);
  CHECK(parse_memory_size("4GiB").value() == 65536);
  for (const char* text : {"0", "1", "65535", "65KiB", "4294967297", "5GiB", "1TiB", "much"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_memory_size(text));
  }
}
