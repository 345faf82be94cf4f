// The zip container of a TorchScript file: end records, central directory, local headers, checksums.
#include "wasmgrad/training/torch/vet/archive.hpp"

#include <algorithm>
#include <concepts>
#include <cstring>
#include <optional>
#include <set>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/torch/vet/crc32.hpp"
#include "wasmgrad/training/torch/vet/inflate.hpp"

namespace wasmgrad::training::vet {
namespace {

constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocator64Signature = 0x07064b50;
constexpr std::uint32_t kDescriptorSignature = 0x08074b50;
constexpr std::uint64_t kLocalSize = 30;
constexpr std::uint64_t kCentralSize = 46;
constexpr std::uint64_t kEndSize = 22;
constexpr std::uint64_t kEnd64Size = 56;
constexpr std::uint64_t kLocator64Size = 20;
constexpr std::uint16_t kHasDescriptor = 1U << 3;
constexpr std::uint16_t kUtf8Names = 1U << 11;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;

Error broken(std::string message) { return {Errc::kInvalidEncoding, "archive: " + std::move(message)}; }

/// Little-endian fields at absolute positions; the caller checks the extent of each header once, with has().
class Bytes {
 public:
  explicit Bytes(std::span<const std::byte> bytes) : bytes_(bytes) {}

  [[nodiscard]] std::uint64_t size() const { return bytes_.size(); }
  [[nodiscard]] bool has(std::uint64_t at, std::uint64_t count) const {
    return at <= bytes_.size() && count <= bytes_.size() - at;
  }
  template <std::unsigned_integral T>
  [[nodiscard]] T get(std::uint64_t at) const {
    T value{};
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  [[nodiscard]] std::uint16_t u16(std::uint64_t at) const { return get<std::uint16_t>(at); }
  [[nodiscard]] std::uint32_t u32(std::uint64_t at) const { return get<std::uint32_t>(at); }
  [[nodiscard]] std::uint64_t u64(std::uint64_t at) const { return get<std::uint64_t>(at); }
  [[nodiscard]] std::span<const std::byte> slice(std::uint64_t at, std::uint64_t count) const {
    return bytes_.subspan(at, count);
  }
  [[nodiscard]] std::string_view text(std::uint64_t at, std::uint64_t count) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + at, count};
  }

 private:
  std::span<const std::byte> bytes_;
};

struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t count = 0;
};

Expected<Directory> find_directory(const Bytes& bytes) {
  constexpr std::uint16_t kPickleOfProtocol2 = 0x0280;  // how torch.save began before version 1.6
  if (bytes.has(0, 2) && bytes.u16(0) == kPickleOfProtocol2) return broken(kPickledByTorch);
  if (!bytes.has(0, kEndSize) || bytes.u32(0) != kLocalSignature) {
    return broken("this is not a zip file, which a TorchScript model is");
  }
  const std::uint64_t end = bytes.size() - kEndSize;
  if (bytes.u32(end) != kEndSignature || bytes.u16(end + 20) != 0) {
    return broken(
        "the end record is missing from the last 22 bytes: the file is truncated, or bytes follow it");
  }
  if (bytes.u16(end + 4) != 0 || bytes.u16(end + 6) != 0 || bytes.u16(end + 8) != bytes.u16(end + 10)) {
    return broken("it is split over several disks");
  }
  Directory directory{bytes.u32(end + 16), bytes.u32(end + 12), bytes.u16(end + 10)};
  std::uint64_t directory_end = end;
  if (end >= kLocator64Size + kEnd64Size && bytes.u32(end - kLocator64Size) == kLocator64Signature) {
    const std::uint64_t locator = end - kLocator64Size;
    directory_end = locator - kEnd64Size;
    if (bytes.u64(locator + 8) != directory_end || bytes.u32(directory_end) != kEnd64Signature ||
        bytes.u64(directory_end + 4) != kEnd64Size - 12 || bytes.u32(locator + 4) != 0 ||
        bytes.u32(locator + 16) != 1 || bytes.u64(directory_end + 24) != bytes.u64(directory_end + 32)) {
      return broken("the 64-bit end record is inconsistent");
    }
    const Directory wide{bytes.u64(directory_end + 48), bytes.u64(directory_end + 40),
                         bytes.u64(directory_end + 32)};
    const auto agrees = [](std::uint64_t narrow, std::uint64_t full, std::uint64_t marker) {
      return narrow == full || narrow == marker;
    };
    if (!agrees(directory.offset, wide.offset, kIn64) || !agrees(directory.size, wide.size, kIn64) ||
        !agrees(directory.count, wide.count, 0xFFFF)) {
      return broken("the two end records contradict each other");
    }
    directory = wide;
  }
  if (directory.offset > directory_end || directory.size != directory_end - directory.offset) {
    return broken("the central directory does not lie between the records and the end record");
  }
  if (directory.count > Archive::kMaxRecords) {
    return Error{Errc::kTooLarge, "archive: " + std::to_string(directory.count) + " records, at most " +
                                      std::to_string(Archive::kMaxRecords) + " are accepted"};
  }
  return directory;
}

/// A record as its two headers describe it.
struct Entry {
  Record record;
  std::string_view full_name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint64_t stored_size = 0;
  std::uint64_t header = 0;    ///< position of the local header
  std::uint64_t data_end = 0;  ///< position after the data
};

/// The values that did not fit 32 bits, from the extra field with tag 1, in the order the format prescribes.
bool read_wide_fields(const Bytes& bytes, std::uint64_t at, std::uint64_t length, Entry& entry) {
  std::uint64_t* const fields[] = {&entry.record.size, &entry.stored_size, &entry.header};
  if (std::ranges::none_of(fields, [](const std::uint64_t* field) { return *field == kIn64; })) return true;
  const std::uint64_t end = at + length;
  while (end - at >= 4) {
    const std::uint16_t tag = bytes.u16(at);
    const std::uint64_t size = bytes.u16(at + 2);
    at += 4;
    if (size > end - at) return false;
    if (tag == 1) {
      std::uint64_t used = 0;
      for (std::uint64_t* field : fields) {
        if (*field != kIn64) continue;
        if (size - used < 8) return false;
        *field = bytes.u64(at + used);
        used += 8;
      }
      return true;
    }
    at += size;
  }
  return false;
}

/// Reads the central header at `at`, moves `at` behind it.
Expected<Entry> read_central(const Bytes& bytes, std::uint64_t& at, std::uint64_t directory_end) {
  if (directory_end - at < kCentralSize || bytes.u32(at) != kCentralSignature) {
    return broken("the central directory is damaged at byte " + std::to_string(at));
  }
  const std::uint64_t name_length = bytes.u16(at + 28);
  const std::uint64_t extra_length = bytes.u16(at + 30);
  const std::uint64_t comment_length = bytes.u16(at + 32);
  if (name_length + extra_length + comment_length > directory_end - at - kCentralSize) {
    return broken("the central directory is damaged at byte " + std::to_string(at));
  }
  Entry entry;
  entry.full_name = bytes.text(at + kCentralSize, name_length);
  entry.flags = bytes.u16(at + 8);
  entry.method = bytes.u16(at + 10);
  entry.record.crc = bytes.u32(at + 16);
  entry.stored_size = bytes.u32(at + 20);
  entry.record.size = bytes.u32(at + 24);
  entry.header = bytes.u32(at + 42);
  const bool other_disk = bytes.u16(at + 34) != 0;
  const bool wide = read_wide_fields(bytes, at + kCentralSize + name_length, extra_length, entry);
  at += kCentralSize + name_length + extra_length + comment_length;

  const std::string where = "record " + in_quotes(entry.full_name);
  if (!wide || other_disk) return broken(where + " has an inconsistent central header");
  if ((entry.flags & 1U) != 0) return broken(where + " is encrypted");
  if ((entry.flags & ~(kHasDescriptor | kUtf8Names)) != 0) return broken(where + " has unknown flags");
  if (entry.method != 0 && entry.method != 8) return broken(where + " uses an unknown compression method");
  entry.record.deflated = entry.method == 8;
  if (!entry.record.deflated && entry.record.size != entry.stored_size) {
    return broken(where + " is not compressed, yet its two sizes differ");
  }
  return entry;
}

/// Checks the local header against the central one and fills in where the data lies.
Status read_local(const Bytes& bytes, Entry& entry, std::uint64_t directory) {
  const std::string where = "record " + in_quotes(entry.full_name);
  if (entry.header > directory || directory - entry.header < kLocalSize ||
      bytes.u32(entry.header) != kLocalSignature) {
    return broken(where + " has no local header where the directory says");
  }
  const std::uint64_t name_length = bytes.u16(entry.header + 26);
  const std::uint64_t extra_length = bytes.u16(entry.header + 28);
  const std::uint64_t room = directory - entry.header - kLocalSize;
  if (name_length + extra_length > room || entry.stored_size > room - name_length - extra_length) {
    return broken(where + " runs past the records");
  }
  const auto same = [&](std::uint64_t at, std::uint64_t expected) {
    const std::uint32_t local = bytes.u32(entry.header + at);
    return local == expected || local == kIn64 || (local == 0 && (entry.flags & kHasDescriptor) != 0);
  };
  if (bytes.text(entry.header + kLocalSize, name_length) != entry.full_name ||
      bytes.u16(entry.header + 6) != entry.flags || bytes.u16(entry.header + 8) != entry.method ||
      !same(14, entry.record.crc) || !same(18, entry.stored_size) || !same(22, entry.record.size)) {
    return broken(where + " is described differently by its local and its central header");
  }
  const std::uint64_t data = entry.header + kLocalSize + name_length + extra_length;
  entry.record.data = bytes.slice(data, entry.stored_size);
  entry.data_end = data + entry.stored_size;
  return {};
}

/// Every byte before the directory must belong to one record: no overlap, no hole but a data descriptor.
Status check_layout(const Bytes& bytes, std::vector<Entry>& entries, std::uint64_t directory) {
  std::vector<const Entry*> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) order.push_back(&entry);
  std::ranges::sort(order, {}, &Entry::header);
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Entry& entry = *order[i];
    if (entry.header != expected) {
      return broken("record " + in_quotes(entry.full_name) + " overlaps another one or follows a hole");
    }
    const std::uint64_t next = i + 1 < order.size() ? order[i + 1]->header : directory;
    expected = entry.data_end;
    if (next == expected) continue;
    const std::uint64_t gap = next > expected ? next - expected : 0;
    const bool descriptor = (entry.flags & kHasDescriptor) != 0 && (gap == 16 || gap == 24) &&
                            bytes.u32(expected) == kDescriptorSignature &&
                            bytes.u32(expected + 4) == entry.record.crc;
    if (!descriptor)
      return broken("record " + in_quotes(entry.full_name) + " overlaps another one or precedes a hole");
    expected = next;
  }
  return {};
}

/// The name below the top folder, or nothing when it is not a plain relative path of moderate length.
std::optional<std::string_view> strip_folder(std::string_view name, std::string_view folder) {
  if (name.size() <= folder.size() || !name.starts_with(folder)) return std::nullopt;
  const std::string_view rest = name.substr(folder.size());
  constexpr std::size_t kMaxName = 511;  // torch's reader cuts longer ones short
  if (name.size() > kMaxName) return std::nullopt;
  if (std::ranges::any_of(rest, [](char c) { return c <= 0x20 || c >= 0x7F || c == '\\' || c == ':'; })) {
    return std::nullopt;
  }
  for (std::size_t at = 0; at <= rest.size();) {
    const std::size_t end = std::min(rest.find('/', at), rest.size());
    const std::string_view part = rest.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return std::nullopt;
    at = end + 1;
  }
  return rest;
}

std::string lower(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

Expected<std::string_view> top_folder(std::string_view first_name) {
  const std::size_t slash = first_name.find('/');
  if (slash == std::string_view::npos || slash == 0) {
    return Error{Errc::kSecurity,
                 "archive: record " + in_quotes(first_name) + " does not lie in a top folder"};
  }
  const std::string_view folder = first_name.substr(0, slash + 1);
  if (folder == "../" || folder == "./" ||
      std::ranges::any_of(folder, [](char c) { return c == '\\' || c == 0x7F || (c >= 0 && c < 0x20); })) {
    return Error{Errc::kSecurity,
                 "archive: the top folder's name " + in_quotes(folder) + " is not a plain one"};
  }
  return folder;
}

}  // namespace

Expected<Archive> Archive::parse(std::span<const std::byte> raw) {
  const Bytes bytes(raw);
  WASMGRAD_ASSIGN(const Directory directory, find_directory(bytes));
  const std::uint64_t directory_end = directory.offset + directory.size;
  std::vector<Entry> entries;
  std::uint64_t at = directory.offset;
  for (std::uint64_t i = 0; i < directory.count; ++i) {
    WASMGRAD_ASSIGN(Entry entry, read_central(bytes, at, directory_end));
    entries.push_back(entry);
  }
  if (entries.empty() || at != directory_end)
    return broken("the central directory has another size than announced");
  WASMGRAD_ASSIGN(const std::string_view folder, top_folder(entries.front().full_name));

  Archive archive;
  std::set<std::string> seen;
  for (Entry& entry : entries) {
    const auto name = strip_folder(entry.full_name, folder);
    if (!name) {
      return Error{Errc::kSecurity, "archive: the name " + in_quotes(entry.full_name) +
                                        " is not a plain path below " + in_quotes(folder)};
    }
    entry.record.name = *name;
    if (!seen.insert(lower(*name)).second)
      return broken("there is a duplicate of record " + in_quotes(*name));
    WASMGRAD_CHECK(read_local(bytes, entry, directory.offset));
  }
  WASMGRAD_CHECK(check_layout(bytes, entries, directory.offset));
  for (const Entry& entry : entries) {
    if (!entry.record.deflated && crc32(entry.record.data) != entry.record.crc) {
      return broken("record " + in_quotes(entry.record.name) + " is damaged: its CRC-32 checksum is wrong");
    }
    archive.index_.emplace(entry.record.name, archive.records_.size());
    archive.records_.push_back(entry.record);
  }
  return archive;
}

const Record* Archive::find(std::string_view name) const noexcept {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &records_[found->second];
}

Expected<std::string> Archive::read(const Record& record, std::uint64_t max_bytes) {
  const std::string where = "archive: record " + in_quotes(record.name);
  if (record.size > max_bytes) {
    return Error{Errc::kTooLarge, where + " has " + std::to_string(record.size) + " bytes, at most " +
                                      std::to_string(max_bytes) + " are accepted"};
  }
  if (!record.deflated)
    return std::string(reinterpret_cast<const char*>(record.data.data()), record.data.size());
  auto text = inflate(record.data, record.size);
  if (!text) return text.error().within(where);
  if (crc32(std::as_bytes(std::span(*text))) != record.crc) {
    return Error{Errc::kInvalidEncoding, where + " is damaged: its CRC-32 checksum is wrong"};
  }
  return text;
}

}  // namespace wasmgrad::training::vet
