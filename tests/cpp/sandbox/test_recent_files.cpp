// A cache that does not grow without limit.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <string>

#include "../support.hpp"
#include "wasmgrad/sandbox/recent_files.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad::sandbox;
using namespace wasmgrad::test;

namespace {

// A file of 100 bytes that was last used so many seconds after the epoch.
void write_used(const TemporaryDirectory& dir, const std::string& name, std::int64_t seconds) {
  dir.write(name, std::string(100, 'x'));
  const std::array<timespec, 2> times{timespec{seconds, 0}, timespec{0, UTIME_OMIT}};
  REQUIRE(::utimensat(AT_FDCWD, (dir / name).c_str(), times.data(), 0) == 0);
}

}  // namespace

TEST_CASE("what was not used for longest makes room") {
  const TemporaryDirectory dir;
  for (const int number : {3, 1, 4, 2}) write_used(dir, std::to_string(number) + ".so", number);
  keep_recent(dir.path(), ".so", 400);
  CHECK(dir.count() == 4);
  keep_recent(dir.path(), ".so", 399);
  CHECK_FALSE(fs::exists(dir / "1.so"));
  CHECK(dir.count() == 3);
  mark_used(dir / "2.so");
  keep_recent(dir.path(), ".so", 200);
  CHECK(fs::exists(dir / "2.so"));
  CHECK(fs::exists(dir / "4.so"));
  CHECK(dir.count() == 2);
}

TEST_CASE("marking changes neither the contents nor when they were written") {
  const TemporaryDirectory dir;
  write_used(dir, "a.so", 1);
  const auto written = fs::last_write_time(dir / "a.so");
  mark_used(dir / "a.so");
  CHECK(fs::last_write_time(dir / "a.so") == written);
  mark_used(dir / "none");
  CHECK(dir.count() == 1);
}

TEST_CASE("other files, directories and links are left alone") {
  const TemporaryDirectory dir, other;
  write_used(dir, "notes.txt", 1);
  write_used(other, "target.so", 1);
  fs::create_directory(dir / "directory.so");
  fs::create_symlink(other / "target.so", dir / "link.so");
  keep_recent(dir.path(), ".so", 0);
  CHECK(dir.count() == 3);
  CHECK(fs::exists(other / "target.so"));
  keep_recent(dir / "none", ".so", 0);
}
