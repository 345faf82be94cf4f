#include "wasmgrad/sandbox/read_only_files.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

namespace wasmgrad::sandbox {

namespace {

// Of wasi_snapshot_preview1.
constexpr std::uint32_t kSuccess = 0;
constexpr std::uint32_t kNotPermitted = 63;
constexpr std::uint64_t kRightDatasync = 1ULL << 0, kRightWrite = 1ULL << 6, kRightAllocate = 1ULL << 8,
                        kRightSetSize = 1ULL << 22;
constexpr std::uint64_t kWriteRights = kRightDatasync | kRightWrite | kRightAllocate | kRightSetSize;
constexpr std::uint32_t kCreate = 1, kTruncate = 8;

// What a function does with its descriptors.
enum class Kind : std::uint8_t { kChanges, kDescribes, kRenumbers, kOpens };

struct Guarded {
  const char* name;
  std::string_view parameters;  // i: i32, l: i64
  Kind kind;
  std::array<int, 2> changed{-1, -1};  // the arguments whose directories or files it changes
};

constexpr Guarded kGuarded[] = {
    {"fd_allocate", "ill", Kind::kChanges, {0, -1}},
    {"fd_fdstat_get", "ii", Kind::kDescribes},
    {"fd_filestat_set_size", "il", Kind::kChanges, {0, -1}},
    {"fd_filestat_set_times", "illi", Kind::kChanges, {0, -1}},
    {"fd_renumber", "ii", Kind::kRenumbers},
    {"path_create_directory", "iii", Kind::kChanges, {0, -1}},
    {"path_filestat_set_times", "iiiilli", Kind::kChanges, {0, -1}},
    // A second name in another directory would be one under which the file can be changed.
    {"path_link", "iiiiiii", Kind::kChanges, {0, 4}},
    {"path_open", "iiiiillii", Kind::kOpens},
    {"path_remove_directory", "iii", Kind::kChanges, {0, -1}},
    {"path_rename", "iiiiii", Kind::kChanges, {0, 3}},
    {"path_symlink", "iiiii", Kind::kChanges, {2, -1}},
    {"path_unlink_file", "iii", Kind::kChanges, {0, -1}},
};

}  // namespace

const std::vector<WasiFunction>& guarded_wasi_functions() {
  static const std::vector<WasiFunction> functions = [] {
    std::vector<WasiFunction> list;
    for (const Guarded& guarded : kGuarded) {
      WasiFunction function{guarded.name, {}};
      for (const char type : guarded.parameters)
        function.parameters.push_back(type == 'i' ? ValueType::kI32 : ValueType::kI64);
      list.push_back(std::move(function));
    }
    return list;
  }();
  return functions;
}

Expected<std::uint32_t> ReadOnlyFiles::pass(std::size_t index, const GuestMemory& memory,
                                            std::span<const Value> arguments, const Call& call) {
  const Guarded& guarded = kGuarded[index];
  switch (guarded.kind) {
    case Kind::kChanges:
      for (const int changed : guarded.changed) {
        if (changed >= 0 && has(arguments[static_cast<std::size_t>(changed)])) return kNotPermitted;
      }
      return call(arguments);
    case Kind::kDescribes: {
      WASMGRAD_ASSIGN(const std::uint32_t error, call(arguments));
      // C libraries leave out of a request what a directory does not allow. They are to ask for it, and to be
      // refused.
      constexpr std::uint32_t kInheriting = 16;  // offset in the record
      if (error != kSuccess || !has(arguments[0])) return error;
      const auto rights =
          memory.writable_bytes(arguments[1].i32 + kInheriting, sizeof(std::uint64_t), "rights");
      if (!rights) return error;
      std::uint64_t inheriting = 0;
      std::memcpy(&inheriting, rights->data(), sizeof inheriting);
      inheriting |= kWriteRights;
      std::memcpy(rights->data(), &inheriting, sizeof inheriting);
      return error;
    }
    case Kind::kRenumbers: {
      WASMGRAD_ASSIGN(const std::uint32_t error, call(arguments));
      if (error != kSuccess) return error;
      const bool read_only = descriptors_.erase(arguments[0].i32) != 0;
      descriptors_.erase(arguments[1].i32);
      if (read_only) add(arguments[1].i32);
      return error;
    }
    case Kind::kOpens:
      break;
  }
  return open(memory, arguments, call);
}

Expected<std::uint32_t> ReadOnlyFiles::open(const GuestMemory& memory, std::span<const Value> arguments,
                                            const Call& call) {
  enum : std::size_t { kDirectory = 0, kFlags = 4, kRights = 5, kInheriting = 6, kOpened = 8 };
  const bool read_only = has(arguments[kDirectory]);
  std::vector<Value> wanted(arguments.begin(), arguments.end());
  if (read_only) {
    constexpr std::uint64_t kChanging = kRightWrite | kRightAllocate | kRightSetSize;
    if ((wanted[kFlags].i32 & (kCreate | kTruncate)) != 0 || (wanted[kRights].i64 & kChanging) != 0)
      return kNotPermitted;
    wanted[kRights].i64 &= ~kWriteRights;
    wanted[kInheriting].i64 &= ~kWriteRights;
  }
  WASMGRAD_ASSIGN(const std::uint32_t error, call(wanted));
  if (error != kSuccess) return error;
  WASMGRAD_ASSIGN(const auto opened, memory.read<std::uint32_t>(arguments[kOpened].i32, "descriptor"));
  descriptors_.erase(opened);
  if (read_only) add(opened);
  return error;
}

}  // namespace wasmgrad::sandbox
