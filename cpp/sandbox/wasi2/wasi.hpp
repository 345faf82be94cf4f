// WASI 0.2 for one guest: what its interfaces share. The files behind it are preview 1's, so that grants and
// their checks are the same for modules and components. There are no sockets. Private to sandbox/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/base/component_function.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"
#include "wasmgrad/sandbox/wasi2/preview1.hpp"

namespace wasmgrad::sandbox::wasi2 {

/// A descriptor of preview 1, closed with the last resource that uses it.
class OpenFile {
 public:
  OpenFile(Preview1& files, std::uint32_t descriptor, std::uint8_t flags, bool closes)
      : descriptor(descriptor), flags(flags), files_(files), closes_(closes) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (closes_) (void)files_.call("fd_close", {descriptor});
  }

  const std::uint32_t descriptor;
  const std::uint8_t flags;  ///< descriptor-flags

 private:
  Preview1& files_;
  bool closes_;
};

struct DirectoryEntry {
  std::uint8_t type;  ///< descriptor-type
  std::string name;
};

enum class Kind : std::uint8_t {
  kDescriptor,
  kDirectoryEntries,
  kInputStream,
  kOutputStream,
  kError,
  kPollable,
  kNetwork,
  kNone,  ///< of which there never is one
};

struct Resource {
  Kind kind = Kind::kNone;
  std::shared_ptr<OpenFile> file = nullptr;
  std::optional<std::uint64_t> offset = {};  ///< of a stream; none: the console, or the end of the file
  std::vector<DirectoryEntry> entries = {};  ///< not read yet, the next one last
  Errno error = 0;
  std::uint64_t ready_at = 0;  ///< of a pollable, on the monotonic clock, ns
};

/// One call of an import, and how its results are stored.
struct Call {
  ComponentCaller& guest;
  std::span<const Value> arguments;
  std::span<Value> results;

  [[nodiscard]] std::uint32_t u32(std::size_t i) const { return arguments[i].i32; }
  [[nodiscard]] std::uint64_t u64(std::size_t i) const { return arguments[i].i64; }
  /// Where the caller wants a result of more than one value.
  [[nodiscard]] std::uint64_t area() const { return arguments.back().i32; }
};

class Wasi {
 public:
  static Expected<std::unique_ptr<Wasi>> create(const SandboxConfig& guest);

  /// They refer to this object, which outlives them.
  [[nodiscard]] ComponentImports imports();
  /// Once the guest has called exit.
  [[nodiscard]] std::optional<std::uint32_t> exit_code() const noexcept { return exit_code_; }

  // What follows is for the interfaces.

  using Method = Status (Wasi::*)(Call&);
  struct Row {
    std::string_view interface, name, parameters, results;  ///< i, I: i32, i64
    Method method;
  };

  Expected<std::uint32_t> insert(Resource resource);
  /// Errors, which trap: there is no such resource of this kind.
  Expected<Resource*> find(std::uint32_t handle, Kind kind);
  Status give(Call& call, Resource resource);

 private:
  explicit Wasi(const SandboxConfig& guest);

  // cli, clocks, random, sockets: wasi.cpp
  Status environment(Call& call);
  Status arguments(Call& call);
  Status none(Call& call);
  Status exit(Call& call);
  Status exit_with_code(Call& call);
  Status get_stdin(Call& call);
  Status get_stdout(Call& call);
  Status get_stderr(Call& call);
  Status monotonic_now(Call& call);
  Status resolution(Call& call);
  Status subscribe_instant(Call& call);
  Status subscribe_duration(Call& call);
  Status wall_now(Call& call);
  Status wall_resolution(Call& call);
  Status random_bytes(Call& call);
  Status random_number(Call& call);
  Status random_seed(Call& call);
  Status network(Call& call);
  Status refuse_socket(Call& call);

  // io: streams.cpp
  Status to_debug_string(Call& call);
  Status is_ready(Call& call);
  Status block(Call& call);
  Status poll(Call& call);
  Status read(Call& call);
  Status skip(Call& call);
  Status subscribe(Call& call);
  Status check_write(Call& call);
  Status write(Call& call);
  Status flush(Call& call);
  Status write_zeroes(Call& call);
  Status splice(Call& call);
  /// Reads at most so many bytes into Preview1's data; nothing at the end of a file. Errors: the engine's.
  Expected<std::pair<Errno, std::uint32_t>> read_some(Resource& stream, std::uint64_t length);
  /// Writes bytes that are in Preview1's data.
  Expected<Errno> write_all(Resource& stream, std::uint32_t length);
  /// Stores a stream-error: of an operation, or that the stream is closed (0).
  Status stream_error(Call& call, std::uint32_t payload, Errno error);

  // filesystem: files.cpp
  Status directories(Call& call);
  Status read_via_stream(Call& call);
  Status write_via_stream(Call& call);
  Status append_via_stream(Call& call);
  Status advise(Call& call);
  Status sync_data(Call& call);
  Status sync(Call& call);
  Status get_flags(Call& call);
  Status get_type(Call& call);
  Status set_size(Call& call);
  Status set_times(Call& call);
  Status set_times_at(Call& call);
  Status read_file(Call& call);
  Status write_file(Call& call);
  Status read_directory(Call& call);
  Status read_directory_entry(Call& call);
  Status create_directory_at(Call& call);
  Status stat(Call& call);
  Status stat_at(Call& call);
  Status link_at(Call& call);
  Status open_at(Call& call);
  Status readlink_at(Call& call);
  Status remove_directory_at(Call& call);
  Status rename_at(Call& call);
  Status symlink_at(Call& call);
  Status unlink_file_at(Call& call);
  Status is_same_object(Call& call);
  Status metadata_hash(Call& call);
  Status metadata_hash_at(Call& call);
  Status filesystem_error_code(Call& call);
  Expected<std::uint32_t> descriptor(Call& call, std::size_t argument = 0);
  /// Copies a path to an address of Preview1's memory. An errno when it is too long.
  Expected<Errno> put_path(Call& call, std::size_t argument, std::uint32_t to);
  Status path_call(Call& call, std::string_view function);
  Status stream_of(Call& call, Kind kind, std::optional<std::uint64_t> offset);
  Status store_stat(Call& call, Errno error);
  Status store_hash(Call& call, Errno error);

  static std::span<const Row> cli_rows();
  static std::span<const Row> stream_rows();
  static std::span<const Row> file_rows();

  std::vector<std::string> arguments_;
  std::vector<std::string> variables_;
  std::vector<Preopen> preopens_;
  std::unique_ptr<Preview1> files_;
  std::map<std::uint32_t, Resource> resources_;
  std::uint32_t last_handle_ = 0;
  std::optional<std::uint32_t> exit_code_;
};

/// Stores the result<_, error-code> of an errno, whose payload stands at `payload`; whether it is success.
Expected<bool> store_errno(Call& call, std::uint32_t payload, Errno error);
std::uint8_t error_code_of(Errno error);
std::uint64_t monotonic_now_ns();
void sleep_until(std::uint64_t monotonic_ns);

}  // namespace wasmgrad::sandbox::wasi2
