#include "wasmgrad/base/scratch_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

namespace wasmgrad {

namespace fs = std::filesystem;

namespace {

void remove_abandoned(const fs::path& parent) {
  std::error_code error;
  for (fs::directory_iterator found(parent, error), end; !error && found != end; found.increment(error)) {
    if (!found->path().filename().native().starts_with(ScratchDirectory::kPrefix)) continue;
    const UniqueFd directory(::open(found->path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info{};
    if (!directory || ::fstat(directory.get(), &info) != 0 || info.st_uid != ::geteuid()) continue;
    std::error_code ignored;
    if (lock_named(directory.get())) fs::remove_all(found->path(), ignored);
  }
}

}  // namespace

bool lock_named(int fd) noexcept {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return false;
  struct stat info{};
  if (::fstat(fd, &info) == 0 && info.st_nlink > 0) return true;
  errno = EWOULDBLOCK;
  return false;
}

Expected<ScratchDirectory> ScratchDirectory::make(const fs::path& parent) {
  remove_abandoned(parent);
  constexpr int kTries = 100;  // between making and locking it, somebody may take it for abandoned
  for (int i = 0; i < kTries; ++i) {
    std::string path = (parent / (std::string(kPrefix) + "XXXXXX")).string();
    if (::mkdtemp(path.data()) == nullptr) break;
    UniqueFd lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (lock && lock_named(lock.get()) && fs::exists(path)) return ScratchDirectory(path, std::move(lock));
    errno = EBUSY;
  }
  return Error{Errc::kRuntimeError, "cannot make a temporary directory in '" + parent.string() +
                                        "': " + std::generic_category().message(errno)};
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  if (lock_) fs::remove_all(path_, ignored);
}

}  // namespace wasmgrad
