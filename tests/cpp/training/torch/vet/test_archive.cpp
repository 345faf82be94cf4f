// The zip reader, its checksum and its decompressor, on hand-made bytes.
#include <doctest/doctest.h>

#include "bytes.hpp"
#include "wasmgrad/training/torch/vet/archive.hpp"
#include "wasmgrad/training/torch/vet/inflate.hpp"

using namespace wasmgrad;
using namespace wasmgrad::training::vet;
using test::as_bytes;
using test::make_zip;

TEST_CASE("crc32 gives the published check value, whatever the length before it") {
  CHECK(crc32(as_bytes("123456789")) == 0xCBF43926);
  CHECK(crc32({}) == 0);
}

TEST_CASE("records are found by their name below the top folder") {
  const std::string zip = make_zip({{"m/version", "3\n"}, {"m/data/0", "abcd"}});
  const auto archive = Archive::parse(as_bytes(zip));
  REQUIRE(archive.has_value());
  REQUIRE(archive->find("data/0") != nullptr);
  CHECK(archive->find("data/0")->size == 4);
  CHECK(archive->find("m/data/0") == nullptr);
  CHECK(archive->records().size() == 2);
}

TEST_CASE("every cut of an archive is refused") {
  const std::string zip = make_zip({{"m/version", "3\n"}, {"m/data/0", "abcd"}});
  for (std::size_t length = 0; length < zip.size(); ++length) {
    CAPTURE(length);
    const std::string cut = zip.substr(0, length);
    CHECK_FALSE(Archive::parse(as_bytes(cut)).has_value());
  }
}

TEST_CASE("names that differ in case only are duplicates") {
  const auto archive = Archive::parse(as_bytes(make_zip({{"m/version", "3\n"}, {"m/Version", "4\n"}})));
  REQUIRE_FALSE(archive.has_value());
  CHECK(archive.error().message.find("duplicate") != std::string::npos);
}

TEST_CASE("names outside the top folder are a security error") {
  for (const std::string_view name : {"m/../x", "m//x", "m/./x", "n/x", "m\\x", "/x", "m/x/", "m"}) {
    CAPTURE(name);
    const auto archive = Archive::parse(as_bytes(make_zip({{"m/version", "3\n"}, {name, ""}})));
    REQUIRE_FALSE(archive.has_value());
    CHECK(archive.error().code == Errc::kSecurity);
  }
}

TEST_CASE("a changed byte of data is found by its checksum") {
  std::string zip = make_zip({{"m/version", "3\n"}, {"m/data/0", "abcd"}});
  zip[zip.find("abcd") + 2] = 'x';
  const auto archive = Archive::parse(as_bytes(zip));
  REQUIRE_FALSE(archive.has_value());
  CHECK(archive.error().message.find("CRC-32") != std::string::npos);
}

TEST_CASE("inflate reads stored and fixed blocks") {
  using namespace std::string_literals;
  // "aaaaaaaaaa" as a stored block and as a fixed-code block (literal, then a match of length 9 at distance
  // 1).
  CHECK(inflate(as_bytes("\x01\x0a\x00\xf5\xff"s + "aaaaaaaaaa"), 10)->compare("aaaaaaaaaa") == 0);
  CHECK(inflate(as_bytes("\x4b\x84\x03\x00"s), 10)->compare("aaaaaaaaaa") == 0);
}

TEST_CASE("inflate never yields more or less than announced") {
  using namespace std::string_literals;
  CHECK_FALSE(inflate(as_bytes("\x4b\x84\x03\x00"s), 9).has_value());
  CHECK_FALSE(inflate(as_bytes("\x4b\x84\x03\x00"s), 11).has_value());
  CHECK_FALSE(inflate(as_bytes("\x4b\x84\x03"s), 10).has_value());
  CHECK_FALSE(inflate(as_bytes("\x4b\x84\x03\x00\x00"s), 10).has_value());
  CHECK_FALSE(inflate({}, 0).has_value());
}
