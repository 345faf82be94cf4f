// A directory for files that must not outlive their process, even when that is killed: it is locked as long
// as its process lives, and whoever makes the next one beside it removes those that nobody holds.
#pragma once

#include <filesystem>

#include "wasmgrad/base/open_beneath.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

class ScratchDirectory {
 public:
  /// Makes one in `parent`, which exists. Errors: kRuntimeError with the system's reason.
  static Expected<ScratchDirectory> make(const std::filesystem::path& parent);
  ScratchDirectory(ScratchDirectory&& other) noexcept = default;
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  /// Removes it with all that it holds.
  ~ScratchDirectory();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// What the names of all of them begin with.
  static constexpr const char* kPrefix = ".wasmgrad-scratch-";

 private:
  ScratchDirectory(std::filesystem::path path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  UniqueFd lock_;
};

/// Whether the open file or directory is now locked by its descriptor, and has still a name. Whoever removes
/// what a killed process left behind holds this lock while doing so. False with errno EWOULDBLOCK when
/// another process holds it or has removed the name, else where the file system has no locks.
bool lock_named(int fd) noexcept;

}  // namespace wasmgrad
