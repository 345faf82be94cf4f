// Bytes in memory and in files, read the same way.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <array>
#include <utility>

#include "../support.hpp"
#include "wasmgrad/base/byte_source.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::test;

namespace {

void check_reads(const ByteSource& source) {
  CHECK(source.size() == 8);
  std::array<std::byte, 8> all{};
  CHECK(source.read(0, all));
  CHECK(text_of(all) == "contents");
  std::array<std::byte, 4> part{};
  CHECK(source.read(3, part));
  CHECK(text_of(part) == "tent");
  CHECK(source.read(4, part));
  CHECK(text_of(part) == "ents");
  CHECK(error_of(source.read(5, part)).message == "ends before byte 9");
  CHECK_FALSE(source.read(~std::uint64_t{0}, part));
  CHECK(source.read(8, {}));
}

}  // namespace

TEST_CASE("memory is read") { check_reads(bytes_of("contents")); }

TEST_CASE("a file is read, also once it has another name or none") {
  const TemporaryDirectory dir;
  dir.write("a", "contents");
  auto source = ByteSource::open(dir / "a");
  REQUIRE(source);
  fs::remove(dir / "a");
  check_reads(*source);
  ByteSource moved = std::move(source).value();
  check_reads(moved);
  ByteSource assigned;
  assigned = std::move(moved);
  check_reads(assigned);
}

TEST_CASE("an empty file has no bytes") {
  const TemporaryDirectory dir;
  dir.write("a", "");
  const auto source = ByteSource::open(dir / "a");
  REQUIRE(source);
  CHECK(source->size() == 0);
  CHECK(source->read(0, {}));
}

TEST_CASE("a file that was cut short is an error where its bytes are copied") {
  const TemporaryDirectory dir;
  dir.write("a", "contents");
  const auto source = ByteSource::open(dir / "a");
  REQUIRE(source);
  fs::resize_file(dir / "a", 4);
  std::array<std::byte, 4> part{};
  CHECK(source->read(0, part));
  CHECK(error_of(source->read(2, part)).message == "ends before byte 6");
}

TEST_CASE("what is no regular file is refused") {
  const TemporaryDirectory dir;
  CHECK(error_of(ByteSource::open(dir / "none")).code == Errc::kNotFound);
  CHECK(error_of(ByteSource::open(dir.path())).message == "cannot be read: it is not a regular file");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(error_of(ByteSource::open(dir / "fifo")).code == Errc::kRuntimeError);
  CHECK(error_of(ByteSource::of_file(-1)).code == Errc::kRuntimeError);
}
