#include "wasmgrad/sandbox/recent_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace wasmgrad::sandbox {

namespace fs = std::filesystem;

namespace {

struct Entry {
  std::pair<std::int64_t, std::int64_t> used;  // seconds and nanoseconds
  std::uint64_t bytes = 0;
  fs::path path;
};

}  // namespace

void mark_used(const fs::path& file) noexcept {
  const std::array<timespec, 2> times{timespec{0, UTIME_NOW}, timespec{0, UTIME_OMIT}};
  ::utimensat(AT_FDCWD, file.c_str(), times.data(), 0);
}

void keep_recent(const fs::path& directory, std::string_view suffix, std::uint64_t max_bytes) {
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator found(directory, error), end; !error && found != end; found.increment(error)) {
    struct stat info{};
    const fs::path& path = found->path();
    if (!path.native().ends_with(suffix) || ::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
      continue;
    entries.push_back(
        {{info.st_atim.tv_sec, info.st_atim.tv_nsec}, static_cast<std::uint64_t>(info.st_size), path});
  }
  std::ranges::sort(entries, std::greater(), &Entry::used);
  std::uint64_t kept = 0;
  for (const Entry& entry : entries) {
    kept += entry.bytes;
    if (kept > max_bytes) fs::remove(entry.path, error);
  }
}

}  // namespace wasmgrad::sandbox
