// Writing a whole text to a file descriptor, unbuffered.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace wasmgrad {

/// False when it could not be written to its end: the reader is gone, or the disk is full.
inline bool write_fully(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

}  // namespace wasmgrad
