// Files: bounded reading, all-or-nothing writing, and the directories a guest was granted.
//
// Everything the host opens on behalf of a guest goes through Grants::open_*, which cannot leave a granted
// directory: paths are resolved by the kernel (openat2 with RESOLVE_BENEATH), symbolic links included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

/// Reads a whole regular file. Errors: kNotFound, kRuntimeError, kTooLarge when it is longer than
/// `max_bytes`.
Expected<std::vector<std::byte>> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

/// Replaces `path` by `contents`, or leaves it as it was: written to a temporary name in the same directory,
/// fsynced, renamed, and the directory fsynced. The temporary file is removed on failure. Errors:
/// kRuntimeError with the system's reason (disk full, ...).
Status write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> contents);

/// For a file that a long run will write at its end: finds out now that it could not be, and removes what
/// processes that were killed while they wrote it have left. Errors: kRuntimeError when it is a directory, or
/// its own directory is missing or not writable.
Status check_can_write(const std::filesystem::path& path);

/// A host directory that a guest sees under `guest_path`.
struct Preopen {
  std::filesystem::path host_path;
  std::string guest_path;
  bool read_only = false;

  /// Parses "HOST:GUEST[:ro]"; "DIR" alone means "DIR:DIR". Errors: kInvalidArgument when a part is empty or
  /// the flag unknown.
  static Expected<Preopen> parse(std::string_view text);
};

/// The directories of one sandbox, as the host itself must respect them when a guest names a path.
class Grants {
 public:
  explicit Grants(std::vector<Preopen> preopens) : preopens_(std::move(preopens)) {}

  [[nodiscard]] const std::vector<Preopen>& preopens() const noexcept { return preopens_; }

  /// Reads the file that the guest calls `guest_path`, resolved against the preopen with the longest matching
  /// prefix. Errors: kSecurity when the path is absolute and matches no preopen, or leaves its preopen by
  /// ".." or a symbolic link; kNotFound; kTooLarge.
  [[nodiscard]] Expected<std::vector<std::byte>> read(std::string_view guest_path,
                                                      std::uint64_t max_bytes) const;

  /// Writes atomically the file that the guest calls `guest_path`; the same rules, and kSecurity in a
  /// read-only preopen.
  [[nodiscard]] Status write(std::string_view guest_path, std::span<const std::byte> contents) const;

  /// What write() would refuse, so that a long run can find out at its start; as check_can_write().
  [[nodiscard]] Status check_writable(std::string_view guest_path) const;

 private:
  std::vector<Preopen> preopens_;
};

}  // namespace wasmgrad
