// The interfaces of wasi:filesystem.
#include <algorithm>
#include <cstring>

#include "wasmgrad/sandbox/wasi2/wasi.hpp"

namespace wasmgrad::sandbox::wasi2 {

namespace {

// descriptor-flags
constexpr std::uint8_t kRead = 1, kWrite = 2, kFileSync = 4, kDataSync = 8, kWriteSync = 16,
                       kMutateDirectory = 32;
// rights and fdflags of preview 1
constexpr std::uint64_t kRightRead = 1U << 1, kRightWrite = 1U << 6, kRightReaddir = 1U << 14,
                        kAllRights = 0x1fffffff;
constexpr std::uint32_t kFdDataSync = 2, kFdReadSync = 8, kFdSync = 16;

constexpr std::uint32_t kStat =
    Preview1::kRecord + 64;  // a filestat: device, inode, type, links, size, times
constexpr std::uint32_t kSecondPath = Preview1::kPath + Preview1::kMaxPath;
static_assert(kSecondPath + Preview1::kMaxPath <= Preview1::kData);
constexpr std::size_t kMaxEntries = std::size_t{1} << 20;
constexpr std::uint32_t kDirentBytes = 24;

// A filetype of preview 1 as a descriptor-type.
std::uint8_t type_of(std::uint8_t filetype) {
  static constexpr std::uint8_t kTypes[] = {0, 1, 2, 3, 6, 7, 7, 5};
  return filetype < std::size(kTypes) ? kTypes[filetype] : 0;
}

// new-timestamp, flattened: its case, seconds and nanoseconds; as a time and fstflags of preview 1.
struct Timestamp {
  std::uint64_t ns = 0;
  std::uint32_t flags = 0;
};
Timestamp timestamp(const Call& call, std::size_t argument, std::uint32_t set, std::uint32_t now) {
  switch (call.u32(argument)) {
    case 0:
      return {};
    case 1:
      return {0, now};
    default:
      return {call.u64(argument + 1) * 1'000'000'000 + call.u32(argument + 2), set};
  }
}

}  // namespace

// The codes stand in the order of their enum.
std::uint8_t error_code_of(Errno error) {
  static constexpr std::pair<Errno, std::uint8_t> kCodes[] = {
      {2, 0},   {6, 1},   {7, 2},   {8, 3},   {10, 4},  {16, 5},  {19, 6},  {20, 7},  {22, 8},  {25, 9},
      {26, 10}, {27, 11}, {28, 12}, {29, 13}, {31, 14}, {32, 15}, {34, 16}, {35, 17}, {37, 18}, {43, 19},
      {44, 20}, {46, 21}, {48, 22}, {51, 23}, {54, 24}, {55, 25}, {56, 26}, {58, 27}, {59, 28}, {60, 29},
      {61, 30}, {63, 31}, {64, 32}, {69, 33}, {70, 34}, {74, 35}, {75, 36}, {76, 31}};
  const auto* found = std::ranges::find(kCodes, error, &std::pair<Errno, std::uint8_t>::first);
  return found != std::end(kCodes) ? found->second : 13;  // io
}

Expected<bool> store_errno(Call& call, std::uint32_t payload, Errno error) {
  WASMGRAD_CHECK(call.guest.store(call.area(), static_cast<std::uint8_t>(error == 0 ? 0 : 1)));
  if (error != 0) WASMGRAD_CHECK(call.guest.store(call.area() + payload, error_code_of(error)));
  return error == 0;
}

Expected<std::uint32_t> Wasi::descriptor(Call& call, std::size_t argument) {
  WASMGRAD_ASSIGN(const Resource* found, find(call.u32(argument), Kind::kDescriptor));
  return found->file->descriptor;
}

Expected<Errno> Wasi::put_path(Call& call, std::size_t argument, std::uint32_t to) {
  const std::uint32_t length = call.u32(argument + 1);
  WASMGRAD_ASSIGN(const auto path, call.guest.memory().bytes(call.u32(argument), length, "path"));
  if (length > Preview1::kMaxPath) return kErrnoNameTooLong;
  std::ranges::copy(path, files_->bytes(to, length).begin());
  return Errno{0};
}

Status Wasi::directories(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t list, call.guest.allocate(preopens_.size() * 12, 4));
  for (std::size_t i = 0; i < preopens_.size(); ++i) {
    const auto flags = static_cast<std::uint8_t>(preopens_[i].read_only ? kRead : kRead | kMutateDirectory);
    auto file = std::make_shared<OpenFile>(*files_, static_cast<std::uint32_t>(3 + i), flags, false);
    WASMGRAD_ASSIGN(const std::uint32_t handle, insert({.kind = Kind::kDescriptor, .file = std::move(file)}));
    const std::string& path = preopens_[i].guest_path;
    WASMGRAD_ASSIGN(const std::uint32_t text, call.guest.store_bytes(std::as_bytes(std::span(path))));
    WASMGRAD_CHECK(call.guest.store(list + 12 * i, handle));
    WASMGRAD_CHECK(call.guest.store(list + 12 * i + 4, text));
    WASMGRAD_CHECK(call.guest.store(list + 12 * i + 8, static_cast<std::uint32_t>(path.size())));
  }
  WASMGRAD_CHECK(call.guest.store(call.area(), list));
  return call.guest.store(call.area() + 4, static_cast<std::uint32_t>(preopens_.size()));
}

Status Wasi::stream_of(Call& call, Kind kind, std::optional<std::uint64_t> offset) {
  WASMGRAD_ASSIGN(const Resource* found, find(call.u32(0), Kind::kDescriptor));
  const std::uint8_t needed = kind == Kind::kInputStream ? kRead : kWrite;
  if ((found->file->flags & needed) == 0) {
    const auto stored = store_errno(call, 4, kErrnoBadDescriptor);
    return stored ? Status() : Status(stored.error());
  }
  WASMGRAD_ASSIGN(const std::uint32_t handle, insert({.kind = kind, .file = found->file, .offset = offset}));
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{0}));
  return call.guest.store(call.area() + 4, handle);
}

Status Wasi::read_via_stream(Call& call) { return stream_of(call, Kind::kInputStream, call.u64(1)); }
Status Wasi::write_via_stream(Call& call) { return stream_of(call, Kind::kOutputStream, call.u64(1)); }
Status Wasi::append_via_stream(Call& call) { return stream_of(call, Kind::kOutputStream, std::nullopt); }

Status Wasi::advise(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(const Errno error,
                  files_->call("fd_advise", {file, call.u64(1), call.u64(2), call.u32(3)}));
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::sync_data(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(const Errno error, files_->call("fd_datasync", {file}));
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::sync(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(const Errno error, files_->call("fd_sync", {file}));
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::get_flags(Call& call) {
  WASMGRAD_ASSIGN(const Resource* found, find(call.u32(0), Kind::kDescriptor));
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{0}));
  return call.guest.store(call.area() + 1, found->file->flags);
}

Status Wasi::get_type(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(const Errno error, files_->call("fd_filestat_get", {file, kStat}));
  WASMGRAD_ASSIGN(const bool ok, store_errno(call, 1, error));
  return ok ? call.guest.store(call.area() + 1, type_of(files_->read<std::uint8_t>(kStat + 16))) : Status();
}

Status Wasi::set_size(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(const Errno error, files_->call("fd_filestat_set_size", {file, call.u64(1)}));
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::set_times(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  const Timestamp accessed = timestamp(call, 1, 1, 2), modified = timestamp(call, 4, 4, 8);
  WASMGRAD_ASSIGN(const Errno error,
                  files_->call("fd_filestat_set_times",
                               {file, accessed.ns, modified.ns, accessed.flags | modified.flags}));
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::set_times_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 2, Preview1::kPath));
  const Timestamp accessed = timestamp(call, 4, 1, 2), modified = timestamp(call, 7, 4, 8);
  if (error == 0) {
    WASMGRAD_ASSIGN(error, files_->call("path_filestat_set_times",
                                        {file, call.u32(1) & 1, Preview1::kPath, call.u32(3), accessed.ns,
                                         modified.ns, accessed.flags | modified.flags}));
  }
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::read_file(Call& call) {
  WASMGRAD_ASSIGN(const Resource* found, find(call.u32(0), Kind::kDescriptor));
  Resource stream{.kind = Kind::kInputStream, .file = found->file, .offset = call.u64(2)};
  WASMGRAD_ASSIGN(const auto read, read_some(stream, call.u64(1)));
  const auto& [error, bytes] = read;
  WASMGRAD_ASSIGN(const bool ok, store_errno(call, 4, error));
  if (!ok) return {};
  WASMGRAD_ASSIGN(const std::uint32_t list, call.guest.store_bytes(files_->bytes(Preview1::kData, bytes)));
  WASMGRAD_CHECK(call.guest.store(call.area() + 4, list));
  WASMGRAD_CHECK(call.guest.store(call.area() + 8, bytes));
  return call.guest.store(call.area() + 12, static_cast<std::uint8_t>(bytes == 0 && call.u64(1) > 0 ? 1 : 0));
}

Status Wasi::write_file(Call& call) {
  WASMGRAD_ASSIGN(const Resource* found, find(call.u32(0), Kind::kDescriptor));
  WASMGRAD_ASSIGN(const auto contents, call.guest.memory().bytes(call.u32(1), call.u32(2), "buffer"));
  const auto part = contents.first(std::min<std::size_t>(contents.size(), Preview1::kMaxData));
  std::ranges::copy(part, files_->bytes(Preview1::kData, part.size()).begin());
  Resource stream{.kind = Kind::kOutputStream, .file = found->file, .offset = call.u64(3)};
  WASMGRAD_ASSIGN(const Errno error, write_all(stream, static_cast<std::uint32_t>(part.size())));
  WASMGRAD_ASSIGN(const bool ok, store_errno(call, 8, error));
  return ok ? call.guest.store(call.area() + 8, std::uint64_t{part.size()}) : Status();
}

Status Wasi::read_directory(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  Resource stream{.kind = Kind::kDirectoryEntries};
  std::uint64_t cookie = 0;
  for (bool more = true; more;) {
    WASMGRAD_ASSIGN(Errno error, files_->call("fd_readdir", {file, Preview1::kData, Preview1::kMaxData,
                                                             cookie, Preview1::kRecord}));
    if (error == 0 && stream.entries.size() > kMaxEntries) error = kErrnoOverflow;
    WASMGRAD_ASSIGN(const bool ok, store_errno(call, 4, error));
    if (!ok) return {};
    const std::uint32_t used = std::min(files_->read<std::uint32_t>(Preview1::kRecord), Preview1::kMaxData);
    more = used == Preview1::kMaxData;
    for (std::uint32_t at = 0; used - at >= kDirentBytes;) {
      const std::uint32_t length = files_->read<std::uint32_t>(Preview1::kData + at + 16);
      if (length > used - at - kDirentBytes) break;  // cut off: read again from its cookie
      const auto name = files_->bytes(Preview1::kData + at + kDirentBytes, length);
      DirectoryEntry entry{type_of(files_->read<std::uint8_t>(Preview1::kData + at + 20)),
                           std::string(reinterpret_cast<const char*>(name.data()), name.size())};
      cookie = files_->read<std::uint64_t>(Preview1::kData + at);
      if (entry.name != "." && entry.name != "..") stream.entries.push_back(std::move(entry));
      at += kDirentBytes + length;
    }
  }
  std::ranges::reverse(stream.entries);
  WASMGRAD_ASSIGN(const std::uint32_t handle, insert(std::move(stream)));
  return call.guest.store(call.area() + 4, handle);
}

Status Wasi::read_directory_entry(Call& call) {
  WASMGRAD_ASSIGN(Resource* const stream, find(call.u32(0), Kind::kDirectoryEntries));
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{0}));
  WASMGRAD_CHECK(
      call.guest.store(call.area() + 4, static_cast<std::uint8_t>(stream->entries.empty() ? 0 : 1)));
  if (stream->entries.empty()) return {};
  const DirectoryEntry entry = std::move(stream->entries.back());
  stream->entries.pop_back();
  WASMGRAD_ASSIGN(const std::uint32_t name, call.guest.store_bytes(std::as_bytes(std::span(entry.name))));
  WASMGRAD_CHECK(call.guest.store(call.area() + 8, entry.type));
  WASMGRAD_CHECK(call.guest.store(call.area() + 12, name));
  return call.guest.store(call.area() + 16, static_cast<std::uint32_t>(entry.name.size()));
}

// One of the functions of a directory and a path.
Status Wasi::path_call(Call& call, std::string_view function) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 1, Preview1::kPath));
  if (error == 0) {
    WASMGRAD_ASSIGN(error, files_->call(function, {file, Preview1::kPath, call.u32(2)}));
  }
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::create_directory_at(Call& call) { return path_call(call, "path_create_directory"); }
Status Wasi::remove_directory_at(Call& call) { return path_call(call, "path_remove_directory"); }
Status Wasi::unlink_file_at(Call& call) { return path_call(call, "path_unlink_file"); }

Status Wasi::store_stat(Call& call, Errno error) {
  WASMGRAD_ASSIGN(const bool ok, store_errno(call, 8, error));
  if (!ok) return {};
  const std::uint64_t at = call.area() + 8;
  WASMGRAD_CHECK(call.guest.store(at, type_of(files_->read<std::uint8_t>(kStat + 16))));
  WASMGRAD_CHECK(call.guest.store(at + 8, files_->read<std::uint64_t>(kStat + 24)));
  WASMGRAD_CHECK(call.guest.store(at + 16, files_->read<std::uint64_t>(kStat + 32)));
  for (std::uint32_t i = 0; i < 3; ++i) {
    const auto ns = files_->read<std::uint64_t>(kStat + 40 + 8 * i);
    WASMGRAD_CHECK(call.guest.store(at + 24 + 24 * i, std::uint8_t{1}));
    WASMGRAD_CHECK(call.guest.store(at + 32 + 24 * i, ns / 1'000'000'000));
    WASMGRAD_CHECK(call.guest.store(at + 40 + 24 * i, static_cast<std::uint32_t>(ns % 1'000'000'000)));
  }
  return {};
}

Status Wasi::stat(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(const Errno error, files_->call("fd_filestat_get", {file, kStat}));
  return store_stat(call, error);
}

Status Wasi::stat_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 2, Preview1::kPath));
  if (error == 0) {
    WASMGRAD_ASSIGN(error, files_->call("path_filestat_get",
                                        {file, call.u32(1) & 1, Preview1::kPath, call.u32(3), kStat}));
  }
  return store_stat(call, error);
}

Status Wasi::link_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t from, descriptor(call));
  WASMGRAD_ASSIGN(const std::uint32_t to, descriptor(call, 4));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 2, Preview1::kPath));
  if (error == 0) {
    WASMGRAD_ASSIGN(error, put_path(call, 5, kSecondPath));
  }
  if (error == 0) {
    WASMGRAD_ASSIGN(error, files_->call("path_link", {from, call.u32(1) & 1, Preview1::kPath, call.u32(3), to,
                                                      kSecondPath, call.u32(6)}));
  }
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::open_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 2, Preview1::kPath));
  const auto flags = static_cast<std::uint8_t>(call.u32(5) & 0x3f);
  const std::uint64_t rights =
      ((flags & kRead) != 0 ? kRightRead | kRightReaddir : 0) | ((flags & kWrite) != 0 ? kRightWrite : 0);
  const std::uint32_t sync = ((flags & kFileSync) != 0 ? kFdSync : 0) |
                             ((flags & kDataSync) != 0 ? kFdDataSync : 0) |
                             ((flags & kWriteSync) != 0 ? kFdReadSync : 0);
  if (error == 0) {
    WASMGRAD_ASSIGN(
        error, files_->call("path_open", {file, call.u32(1) & 1, Preview1::kPath, call.u32(3),
                                          call.u32(4) & 0xf, rights, kAllRights, sync, Preview1::kRecord}));
  }
  WASMGRAD_ASSIGN(const bool ok, store_errno(call, 4, error));
  if (!ok) return {};
  auto opened =
      std::make_shared<OpenFile>(*files_, files_->read<std::uint32_t>(Preview1::kRecord), flags, true);
  WASMGRAD_ASSIGN(const std::uint32_t handle, insert({.kind = Kind::kDescriptor, .file = std::move(opened)}));
  return call.guest.store(call.area() + 4, handle);
}

Status Wasi::readlink_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 1, Preview1::kPath));
  if (error == 0) {
    WASMGRAD_ASSIGN(error, files_->call("path_readlink", {file, Preview1::kPath, call.u32(2), Preview1::kData,
                                                          Preview1::kMaxData, Preview1::kRecord}));
  }
  WASMGRAD_ASSIGN(const bool ok, store_errno(call, 4, error));
  if (!ok) return {};
  const std::uint32_t length = std::min(files_->read<std::uint32_t>(Preview1::kRecord), Preview1::kMaxData);
  WASMGRAD_ASSIGN(const std::uint32_t text, call.guest.store_bytes(files_->bytes(Preview1::kData, length)));
  WASMGRAD_CHECK(call.guest.store(call.area() + 4, text));
  return call.guest.store(call.area() + 8, length);
}

Status Wasi::rename_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t from, descriptor(call));
  WASMGRAD_ASSIGN(const std::uint32_t to, descriptor(call, 3));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 1, Preview1::kPath));
  if (error == 0) {
    WASMGRAD_ASSIGN(error, put_path(call, 4, kSecondPath));
  }
  if (error == 0) {
    WASMGRAD_ASSIGN(error, files_->call("path_rename",
                                        {from, Preview1::kPath, call.u32(2), to, kSecondPath, call.u32(5)}));
  }
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::symlink_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 1, Preview1::kPath));
  if (error == 0) {
    WASMGRAD_ASSIGN(error, put_path(call, 3, kSecondPath));
  }
  if (error == 0) {
    WASMGRAD_ASSIGN(
        error, files_->call("path_symlink", {Preview1::kPath, call.u32(2), file, kSecondPath, call.u32(4)}));
  }
  WASMGRAD_CHECK(store_errno(call, 1, error));
  return {};
}

Status Wasi::is_same_object(Call& call) {
  std::pair<std::uint64_t, std::uint64_t> identity[2];
  for (std::size_t i = 0; i < 2; ++i) {
    WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call, i));
    WASMGRAD_ASSIGN(const Errno error, files_->call("fd_filestat_get", {file, kStat}));
    // One that cannot be looked at is the same as itself only.
    identity[i] = error == 0
                      ? std::pair(files_->read<std::uint64_t>(kStat), files_->read<std::uint64_t>(kStat + 8))
                      : std::pair(UINT64_MAX, std::uint64_t{file});
  }
  call.results[0].i32 = identity[0] == identity[1] ? 1 : 0;
  return {};
}

Status Wasi::store_hash(Call& call, Errno error) {
  WASMGRAD_ASSIGN(const bool ok, store_errno(call, 8, error));
  if (!ok) return {};
  WASMGRAD_CHECK(call.guest.store(call.area() + 8, files_->read<std::uint64_t>(kStat + 8)));
  return call.guest.store(call.area() + 16, files_->read<std::uint64_t>(kStat));
}

Status Wasi::metadata_hash(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(const Errno error, files_->call("fd_filestat_get", {file, kStat}));
  return store_hash(call, error);
}

Status Wasi::metadata_hash_at(Call& call) {
  WASMGRAD_ASSIGN(const std::uint32_t file, descriptor(call));
  WASMGRAD_ASSIGN(Errno error, put_path(call, 2, Preview1::kPath));
  if (error == 0) {
    WASMGRAD_ASSIGN(error, files_->call("path_filestat_get",
                                        {file, call.u32(1) & 1, Preview1::kPath, call.u32(3), kStat}));
  }
  return store_hash(call, error);
}

Status Wasi::filesystem_error_code(Call& call) {
  WASMGRAD_ASSIGN(const Resource* error, find(call.u32(0), Kind::kError));
  WASMGRAD_CHECK(call.guest.store(call.area(), std::uint8_t{1}));
  return call.guest.store(call.area() + 1, error_code_of(error->error));
}

std::span<const Wasi::Row> Wasi::file_rows() {
  static constexpr std::string_view kTypes = "wasi:filesystem/types";
  static constexpr Row kRows[] = {
      {"wasi:filesystem/preopens", "get-directories", "i", "", &Wasi::directories},
      {kTypes, "[method]descriptor.read-via-stream", "iIi", "", &Wasi::read_via_stream},
      {kTypes, "[method]descriptor.write-via-stream", "iIi", "", &Wasi::write_via_stream},
      {kTypes, "[method]descriptor.append-via-stream", "ii", "", &Wasi::append_via_stream},
      {kTypes, "[method]descriptor.advise", "iIIii", "", &Wasi::advise},
      {kTypes, "[method]descriptor.sync-data", "ii", "", &Wasi::sync_data},
      {kTypes, "[method]descriptor.get-flags", "ii", "", &Wasi::get_flags},
      {kTypes, "[method]descriptor.get-type", "ii", "", &Wasi::get_type},
      {kTypes, "[method]descriptor.set-size", "iIi", "", &Wasi::set_size},
      {kTypes, "[method]descriptor.set-times", "iiIiiIii", "", &Wasi::set_times},
      {kTypes, "[method]descriptor.read", "iIIi", "", &Wasi::read_file},
      {kTypes, "[method]descriptor.write", "iiiIi", "", &Wasi::write_file},
      {kTypes, "[method]descriptor.read-directory", "ii", "", &Wasi::read_directory},
      {kTypes, "[method]descriptor.sync", "ii", "", &Wasi::sync},
      {kTypes, "[method]descriptor.create-directory-at", "iiii", "", &Wasi::create_directory_at},
      {kTypes, "[method]descriptor.stat", "ii", "", &Wasi::stat},
      {kTypes, "[method]descriptor.stat-at", "iiiii", "", &Wasi::stat_at},
      {kTypes, "[method]descriptor.set-times-at", "iiiiiIiiIii", "", &Wasi::set_times_at},
      {kTypes, "[method]descriptor.link-at", "iiiiiiii", "", &Wasi::link_at},
      {kTypes, "[method]descriptor.open-at", "iiiiiii", "", &Wasi::open_at},
      {kTypes, "[method]descriptor.readlink-at", "iiii", "", &Wasi::readlink_at},
      {kTypes, "[method]descriptor.remove-directory-at", "iiii", "", &Wasi::remove_directory_at},
      {kTypes, "[method]descriptor.rename-at", "iiiiiii", "", &Wasi::rename_at},
      {kTypes, "[method]descriptor.symlink-at", "iiiiii", "", &Wasi::symlink_at},
      {kTypes, "[method]descriptor.unlink-file-at", "iiii", "", &Wasi::unlink_file_at},
      {kTypes, "[method]descriptor.is-same-object", "ii", "i", &Wasi::is_same_object},
      {kTypes, "[method]descriptor.metadata-hash", "ii", "", &Wasi::metadata_hash},
      {kTypes, "[method]descriptor.metadata-hash-at", "iiiii", "", &Wasi::metadata_hash_at},
      {kTypes, "[method]directory-entry-stream.read-directory-entry", "ii", "", &Wasi::read_directory_entry},
      {kTypes, "filesystem-error-code", "ii", "", &Wasi::filesystem_error_code},
  };
  return kRows;
}

}  // namespace wasmgrad::sandbox::wasi2
