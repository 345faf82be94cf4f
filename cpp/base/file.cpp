#include "wasmgrad/base/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>

#include "wasmgrad/base/open_beneath.hpp"
#include "wasmgrad/base/scratch_directory.hpp"
#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad {

namespace {

// strerror is not safe with threads; the error category is.
std::string system_reason(int error) {
  if (error == EFBIG) return "the file would pass the output limit";
  return std::generic_category().message(error);
}

std::string path_text(std::string_view text) { return "'" + std::string(text) + "'"; }

Expected<std::vector<std::byte>> read_all(int fd, const std::string& what, std::uint64_t max_bytes) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) {
    return Error{Errc::kRuntimeError, "cannot read " + what + ": " + system_reason(errno)};
  }
  if (!S_ISREG(info.st_mode)) {
    return Error{Errc::kRuntimeError, "cannot read " + what + ": it is not a regular file"};
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > max_bytes) {
    return Error{Errc::kTooLarge, what + " has " + std::to_string(size) + " bytes; at most " +
                                      std::to_string(max_bytes) + " are allowed"};
  }
  std::vector<std::byte> contents(size);
  std::size_t done = 0;
  while (done < contents.size()) {
    const ssize_t got = ::read(fd, contents.data() + done, contents.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{Errc::kRuntimeError, "cannot read " + what + ": " + system_reason(errno)};
    if (got == 0) break;  // it shrank while being read
    done += static_cast<std::size_t>(got);
  }
  contents.resize(done);
  return contents;
}

int write_all(int fd, std::span<const std::byte> contents) {
  while (!contents.empty()) {
    const ssize_t put = ::write(fd, contents.data(), contents.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    contents = contents.subspan(static_cast<std::size_t>(put));
  }
  return 0;
}

// Files that take the place of others once they are whole have such names until then.
constexpr std::string_view kTemporarySuffix = ".tmp";
std::string temporary_prefix(const std::string& name) { return "." + name.substr(0, 200) + "."; }

// A new file in the directory under a temporary name, locked: a process that is killed leaves it without its
// lock.
UniqueFd create_temporary(int directory, const std::string& name, std::string& temporary) {
  static std::atomic<unsigned> counter{0};
  for (;;) {
    temporary = temporary_prefix(name) + std::to_string(::getpid()) + "-" + std::to_string(counter++) +
                std::string(kTemporarySuffix);
    UniqueFd fd(
        ::openat(directory, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    // Another process may have taken it for abandoned before it was locked. A file system without locks has
    // none that does.
    if (!fd || lock_named(fd.get()) || errno != EWOULDBLOCK) return fd;
  }
}

// Removes what processes that were killed while they wrote `name` have left.
void remove_abandoned(int directory, const std::string& name) {
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto close = [](DIR* open) { ::closedir(open); };
  const std::unique_ptr<DIR, decltype(close)> entries(copy ? ::fdopendir(copy.get()) : nullptr, close);
  if (entries) copy.release();
  const std::string prefix = temporary_prefix(name);
  while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr) {
    const std::string_view found(entry->d_name);
    if (!found.starts_with(prefix) || !found.ends_with(kTemporarySuffix)) continue;
    const UniqueFd file(::openat(directory, entry->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    if (file && lock_named(file.get())) ::unlinkat(directory, entry->d_name, 0);
  }
}

// That a file of this name could be put in the directory, as far as it can be told without doing so.
Status check_target(int directory, const std::string& name, const std::string& what) {
  struct stat info{};
  if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
    return Error{Errc::kRuntimeError, "cannot write " + what + ": it is a directory"};
  if (::faccessat(directory, ".", W_OK | X_OK, AT_EACCESS) != 0)
    return Error{Errc::kRuntimeError, "cannot write " + what + ": its directory is not writable"};
  remove_abandoned(directory, name);
  return {};
}

// Replaces `name` in the open directory; `what` names the file in errors.
Status replace_in(int directory, const std::string& name, const std::string& what,
                  std::span<const std::byte> contents) {
  const auto failed = [&](int error) {
    return Error{Errc::kRuntimeError, "cannot write " + what + ": " + system_reason(error)};
  };
  std::string temporary;
  UniqueFd fd = create_temporary(directory, name, temporary);
  if (!fd) return failed(errno);
  int error = write_all(fd.get(), contents);
  if (error == 0 && ::fsync(fd.get()) != 0) error = errno;
  // Some file systems report a full disk at close only.
  if (::close(fd.release()) != 0 && error == 0) error = errno;
  if (error == 0 && ::renameat(directory, temporary.c_str(), directory, name.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlinkat(directory, temporary.c_str(), 0);
    return failed(error);
  }
  // A directory that cannot be fsynced (some network file systems) has still been renamed into.
  ::fsync(directory);
  return {};
}

// A guest path taken apart: "./a//b" is {a, b}, relative.
struct GuestPath {
  bool absolute = false;
  std::vector<std::string> components;

  explicit GuestPath(std::string_view text) : absolute(text.starts_with('/')) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('/'), text.size());
      if (const auto part = text.substr(0, end); !part.empty() && part != ".") components.emplace_back(part);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }

  [[nodiscard]] bool starts_with(const GuestPath& prefix) const {
    return prefix.components.size() <= components.size() &&
           std::equal(prefix.components.begin(), prefix.components.end(), components.begin());
  }
};

// Where a guest path lies: a preopen, and the rest of the path below it.
struct Place {
  const Preopen* preopen = nullptr;
  std::string rest;
};

Expected<Place> locate(const std::vector<Preopen>& preopens, std::string_view guest_path) {
  if (guest_path.empty()) return Error{Errc::kInvalidArgument, "an empty path was given"};
  if (guest_path.find('\0') != std::string_view::npos) {
    return Error{Errc::kInvalidArgument, "a path with a zero byte was given"};
  }
  if (!is_utf8(guest_path)) {
    return Error{Errc::kInvalidArgument,
                 "the path " + printable(path_text(guest_path)) + " is not UTF-8, which paths of guests are"};
  }
  const GuestPath path(guest_path);
  Place place;
  std::size_t matched = 0;
  bool matched_absolute = false;
  for (const Preopen& preopen : preopens) {
    const GuestPath prefix(preopen.guest_path);
    // A guest's current directory is "/": a relative path may lie in an absolute preopen, but not the other
    // way round.
    if ((path.absolute && !prefix.absolute) || !path.starts_with(prefix)) continue;
    const std::size_t length = prefix.components.size();
    const bool better = place.preopen == nullptr || length > matched ||
                        (length == matched && matched_absolute && !path.absolute && !prefix.absolute);
    if (!better) continue;
    place.preopen = &preopen;
    matched = length;
    matched_absolute = prefix.absolute;
  }
  if (place.preopen == nullptr) {
    return Error{Errc::kSecurity,
                 path_text(guest_path) + " is in none of the directories that the guest was given"};
  }
  for (std::size_t i = matched; i < path.components.size(); ++i) {
    if (i != matched) place.rest += '/';
    place.rest += path.components[i];
  }
  if (place.rest.empty()) place.rest = ".";
  return place;
}

Expected<UniqueFd> open_preopen(const Preopen& preopen) {
  UniqueFd directory(::open(preopen.host_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    return Error{errno == ENOENT ? Errc::kNotFound : Errc::kRuntimeError,
                 "cannot open the directory " + path_text(preopen.host_path.native()) +
                     " given to the guest as " + path_text(preopen.guest_path) + ": " + system_reason(errno)};
  }
  return directory;
}

Error open_error(std::string_view guest_path, int error) {
  const std::string what = path_text(guest_path);
  if (error == EXDEV) {
    return {Errc::kSecurity, what + " leaves the directory that the guest was given"};
  }
  if (error == ELOOP) {
    return {Errc::kSecurity, what + " goes through a symbolic link that is not followed"};
  }
  if (error == ENOENT || error == ENOTDIR) {
    return {Errc::kNotFound, what + " does not exist in the directories that the guest was given"};
  }
  return {Errc::kRuntimeError, "cannot open " + what + ": " + system_reason(error)};
}

// The directory that holds a file to be written, and the file's name in it.
struct WriteTarget {
  UniqueFd directory;
  std::string name;
};

Expected<WriteTarget> open_for_writing(const std::vector<Preopen>& preopens, std::string_view guest_path) {
  WASMGRAD_ASSIGN(const Place place, locate(preopens, guest_path));
  if (place.preopen->read_only) {
    return Error{Errc::kSecurity, path_text(guest_path) + " lies in " + path_text(place.preopen->guest_path) +
                                      ", which the guest was given read-only"};
  }
  const std::size_t slash = place.rest.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : place.rest.substr(0, slash);
  WriteTarget target;
  target.name = slash == std::string::npos ? place.rest : place.rest.substr(slash + 1);
  if (target.name == "." || target.name == ".." || guest_path.ends_with('/')) {
    return Error{Errc::kInvalidArgument, path_text(guest_path) + " does not name a file"};
  }
  WASMGRAD_ASSIGN(const UniqueFd root, open_preopen(*place.preopen));
  target.directory = open_beneath(root.get(), parent, O_RDONLY | O_DIRECTORY);
  if (!target.directory) return open_error(guest_path, errno);
  return target;
}

}  // namespace

Expected<std::vector<std::byte>> read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Error{Errc::kNotFound, path_text(path.native()) + " does not exist"};
    }
    return Error{Errc::kRuntimeError,
                 "cannot open " + path_text(path.native()) + ": " + system_reason(errno)};
  }
  return read_all(fd.get(), path_text(path.native()), max_bytes);
}

Status check_can_write(const std::filesystem::path& path) {
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const UniqueFd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    return Error{Errc::kRuntimeError,
                 "cannot write '" + path.string() + "': its directory is missing or cannot be read"};
  }
  return check_target(directory.get(), path.filename(), path_text(path.native()));
}

Status write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> contents) {
  const std::filesystem::path parent =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const std::string name = path.filename();
  if (name.empty() || name == "." || name == "..") {
    return Error{Errc::kRuntimeError,
                 "cannot write " + path_text(path.native()) + ": it does not name a file"};
  }
  const UniqueFd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    return Error{Errc::kRuntimeError,
                 "cannot write " + path_text(path.native()) + ": " + system_reason(errno)};
  }
  return replace_in(directory.get(), name, path_text(path.native()), contents);
}

Expected<Preopen> Preopen::parse(std::string_view text) {
  const auto invalid = [&](const std::string& why) {
    return Error{Errc::kInvalidArgument,
                 "directory " + path_text(text) + ": " + why + "; expected HOST:GUEST[:ro]"};
  };
  std::vector<std::string_view> parts;
  for (std::string_view left = text;;) {
    const std::size_t colon = left.find(':');
    parts.push_back(left.substr(0, colon));
    if (colon == std::string_view::npos) break;
    left.remove_prefix(colon + 1);
  }
  if (parts.size() > 3) return invalid("it has too many parts");
  for (const std::string_view part : parts) {
    if (part.empty()) return invalid("a part is empty");
    if (part.find('\0') != std::string_view::npos) return invalid("it has a zero byte");
  }
  if (parts.size() == 3 && parts[2] != "ro")
    return invalid("the flag " + path_text(parts[2]) + " is not known");
  Preopen preopen;
  preopen.host_path = parts[0];
  preopen.guest_path = parts.size() > 1 ? parts[1] : parts[0];
  preopen.read_only = parts.size() == 3;
  return preopen;
}

Expected<std::vector<std::byte>> Grants::read(std::string_view guest_path, std::uint64_t max_bytes) const {
  WASMGRAD_ASSIGN(const Place place, locate(preopens_, guest_path));
  WASMGRAD_ASSIGN(const UniqueFd root, open_preopen(*place.preopen));
  const UniqueFd fd = open_beneath(root.get(), place.rest, O_RDONLY | O_NONBLOCK);
  if (!fd) return open_error(guest_path, errno);
  return read_all(fd.get(), path_text(guest_path), max_bytes);
}

Status Grants::check_writable(std::string_view guest_path) const {
  WASMGRAD_ASSIGN(const WriteTarget target, open_for_writing(preopens_, guest_path));
  return check_target(target.directory.get(), target.name, path_text(guest_path));
}

Status Grants::write(std::string_view guest_path, std::span<const std::byte> contents) const {
  WASMGRAD_ASSIGN(const WriteTarget target, open_for_writing(preopens_, guest_path));
  return replace_in(target.directory.get(), target.name, path_text(guest_path), contents);
}

}  // namespace wasmgrad
