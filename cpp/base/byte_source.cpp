#include "wasmgrad/base/byte_source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

namespace wasmgrad {

namespace {

Error unreadable(const std::string& why) { return {Errc::kRuntimeError, "cannot be read: " + why}; }

Error unreadable(int error) { return unreadable(std::generic_category().message(error)); }

}  // namespace

Expected<ByteSource> ByteSource::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (fd) return of_file(fd.get());
  if (errno == ENOENT || errno == ENOTDIR) return Error{Errc::kNotFound, "does not exist"};
  return unreadable(errno);
}

Expected<ByteSource> ByteSource::of_file(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return unreadable(errno);
  if (!S_ISREG(info.st_mode)) return unreadable("it is not a regular file");
  ByteSource source;
  source.file_.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!source.file_) return unreadable(errno);
  source.size_ = static_cast<std::uint64_t>(info.st_size);
  return source;
}

Status ByteSource::read(std::uint64_t offset, std::span<std::byte> target) const {
  const Error ended{Errc::kRuntimeError, "ends before byte " + std::to_string(offset + target.size())};
  if (offset > size_ || target.size() > size_ - offset) return ended;
  if (!file_) {
    std::ranges::copy(memory_.subspan(offset, target.size()), target.begin());
    return {};
  }
  while (!target.empty()) {
    const ssize_t got = ::pread(file_.get(), target.data(), target.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(errno);
    if (got == 0) return ended;  // it was cut short meanwhile
    offset += static_cast<std::uint64_t>(got);
    target = target.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace wasmgrad
