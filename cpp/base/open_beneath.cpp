#include "wasmgrad/base/open_beneath.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace wasmgrad {

void UniqueFd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

UniqueFd open_beneath(int directory, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<__u64>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  int fd = -1;
  // EAGAIN: a rename elsewhere raced with the resolution of "..".
  do {
    fd = static_cast<int>(::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  // Container filters answer EPERM to system calls that they do not know.
  if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
    return open_beneath_by_component(directory, path, flags, mode);
  }
  return UniqueFd(fd);
}

UniqueFd open_beneath_by_component(int directory, const std::string& path, int flags, mode_t mode) {
  if (path.empty() || path.front() == '/') {
    errno = path.empty() ? ENOENT : EXDEV;
    return {};
  }
  std::vector<std::string> components;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    components.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  // The chain of open directories below `directory`: ".." pops, so that it never depends on what a
  // directory's parent is now.
  std::vector<UniqueFd> chain;
  auto top = [&] { return chain.empty() ? directory : chain.back().get(); };
  while (components.size() > 1 || components.back() == "." || components.back() == "..") {
    const std::string component = components.front();
    components.erase(components.begin());
    if (component == "..") {
      if (chain.empty()) {
        errno = EXDEV;
        return {};
      }
      chain.pop_back();
    } else if (!component.empty() && component != ".") {
      UniqueFd next(::openat(top(), component.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next) {
        // O_DIRECTORY and O_NOFOLLOW on a link report ENOTDIR: tell the two apart.
        if (errno == ENOTDIR) {
          char target[1];
          errno = ::readlinkat(top(), component.c_str(), target, sizeof target) >= 0 ? ELOOP : ENOTDIR;
        }
        return {};
      }
      chain.push_back(std::move(next));
    }
    if (components.empty()) break;
  }
  const std::string last = components.empty() || components.back().empty() ? "." : components.back();
  int fd = -1;
  do {
    fd = ::openat(top(), last.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

}  // namespace wasmgrad
