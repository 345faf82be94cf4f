// Opening a path that somebody else chose without leaving a directory: the kernel's openat2, or the same by
// hand on kernels that lack it. It must not know what a preopen is.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

namespace wasmgrad {

/// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

/// Opens `path`, relative to `directory` and never outside it; close-on-exec is always added to `flags`. On
/// failure the result is empty and errno is set: EXDEV when the path would leave the directory, ELOOP when a
/// symbolic link is in the way.
UniqueFd open_beneath(int directory, const std::string& path, int flags, mode_t mode = 0);

/// The same without openat2: one component at a time, refusing every symbolic link (ELOOP).
UniqueFd open_beneath_by_component(int directory, const std::string& path, int flags, mode_t mode = 0);

}  // namespace wasmgrad
