#include "wasmgrad/graph/module_parts.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::graph {

namespace {

using sandbox::append_number;
using sandbox::SectionReader;

enum SectionId : std::uint8_t { kCustom = 0, kStart = 8, kData = 11 };

constexpr std::string_view kMetadataSection = "wasmgrad.graph";
constexpr std::size_t kNumberBytes = 5;  // of the longest number
// Constants of the code may stay where they are.
constexpr std::size_t kLargeBytes = 65536;
// Of what is read here: a file may be sparse and name sections of any size.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

// What a section holds, from `begin` to `end` of the module.
struct Section {
  std::uint8_t id;
  std::uint64_t begin;
  std::uint64_t end;
};

// The data section without its large segments.
struct SplitData {
  std::vector<std::byte> section;
  std::vector<DataSegment> taken;
};

Status check_held(std::uint64_t bytes) {
  if (bytes <= kMostBytes) return {};
  return Error{Errc::kTooLarge, "the module has " + std::to_string(bytes) +
                                    " bytes or more beside its large data; at most " +
                                    std::to_string(kMostBytes) + " are read"};
}

Status append(std::vector<std::byte>& out, const ByteSource& module, std::uint64_t begin, std::uint64_t end) {
  WASMGRAD_CHECK(check_held(out.size() + (end - begin)));
  const std::size_t before = out.size();
  out.resize(before + (end - begin));
  return module.read(begin, std::span(out).subspan(before));
}

// At most `size` bytes from `begin` on, which end at `end`.
Expected<std::vector<std::byte>> head(const ByteSource& module, std::uint64_t begin, std::uint64_t end,
                                      std::size_t size) {
  std::vector<std::byte> bytes;
  WASMGRAD_CHECK(append(bytes, module, begin, begin + std::min<std::uint64_t>(size, end - begin)));
  return bytes;
}

// Where `reader`, which reads `bytes` from `begin` on, has come to.
std::uint64_t position(std::uint64_t begin, const std::vector<std::byte>& bytes,
                       const SectionReader& reader) {
  return begin + bytes.size() - reader.rest().size();
}

Expected<std::vector<Section>> list_sections(const ByteSource& module) {
  constexpr std::array<std::byte, sandbox::kWasmHeaderBytes> kHeader{
      std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'}, std::byte{1}};
  WASMGRAD_ASSIGN(const std::vector<std::byte> header, head(module, 0, module.size(), kHeader.size()));
  if (!std::ranges::equal(header, kHeader)) return Error{Errc::kInvalidEncoding, "not a WebAssembly module"};
  std::vector<Section> sections;
  for (std::uint64_t at = kHeader.size(); at < module.size(); at = sections.back().end) {
    WASMGRAD_ASSIGN(const auto start, head(module, at, module.size(), 1 + kNumberBytes));
    SectionReader reader(start);
    const auto id = reader.byte();
    const auto length = reader.number();
    const std::uint64_t begin = position(at, start, reader);
    if (!length || *length > module.size() - begin) {
      return Error{Errc::kInvalidEncoding,
                   "not a whole WebAssembly module: section " + std::to_string(sections.size()) +
                       " runs past the end of its " + std::to_string(module.size()) + " bytes"};
    }
    sections.push_back({*id, begin, begin + *length});
  }
  return sections;
}

// Nothing when a segment has another form than those of an ordinary linker (active, in memory 0, at a
// constant address), or is malformed.
Expected<std::optional<SplitData>> split_data(const ByteSource& module, const Section& section) {
  constexpr std::uint8_t kActive = 0, kI32Const = 0x41, kEnd = 0x0b;
  constexpr std::size_t kHeadBytes = 3 + 2 * kNumberBytes;
  WASMGRAD_ASSIGN(const auto start, head(module, section.begin, section.end, kNumberBytes));
  SectionReader counter(start);
  const auto count = counter.number();
  if (!count) return std::optional<SplitData>();
  SplitData split;
  append_number(split.section, *count);
  std::uint64_t at = position(section.begin, start, counter);
  for (std::uint32_t i = 0; i < *count; ++i) {
    WASMGRAD_ASSIGN(const auto bytes, head(module, at, section.end, kHeadBytes));
    SectionReader reader(bytes);
    if (reader.byte() != kActive || reader.byte() != kI32Const) return std::optional<SplitData>();
    const auto address = reader.signed_number();
    if (!address || reader.byte() != kEnd) return std::optional<SplitData>();
    const auto address_end = bytes.end() - static_cast<std::ptrdiff_t>(reader.rest().size());
    const auto length = reader.number();
    const std::uint64_t contents = position(at, bytes, reader);
    if (!length || *length > section.end - contents) return std::optional<SplitData>();
    at = contents + *length;
    split.section.insert(split.section.end(), bytes.begin(), address_end);
    const bool large = *length >= kLargeBytes;
    append_number(split.section, large ? 0 : *length);
    if (large) {
      split.taken.push_back({static_cast<std::uint32_t>(*address), contents, *length});
    } else {
      WASMGRAD_CHECK(append(split.section, module, contents, at));
    }
  }
  return at == section.end ? std::optional(std::move(split)) : std::nullopt;
}

// What a custom section holds if it is that of the metadata.
Expected<std::optional<std::string>> read_metadata(const ByteSource& module, const Section& section) {
  WASMGRAD_ASSIGN(const auto start,
                  head(module, section.begin, section.end, kNumberBytes + kMetadataSection.size()));
  SectionReader reader(start);
  const auto name = reader.take(reader.number());
  if (!name || !std::ranges::equal(*name, std::as_bytes(std::span(kMetadataSection)))) {
    return std::optional<std::string>();
  }
  const std::uint64_t begin = position(section.begin, start, reader);
  WASMGRAD_CHECK(check_held(section.end - begin));
  std::string metadata(section.end - begin, '\0');
  WASMGRAD_CHECK(module.read(begin, std::as_writable_bytes(std::span(metadata))));
  return std::optional(std::move(metadata));
}

}  // namespace

Expected<ModuleParts> take_apart(const ByteSource& module) {
  WASMGRAD_ASSIGN(const std::vector<Section> sections, list_sections(module));
  // A start function would run before the host has copied anything.
  const bool starts = std::ranges::any_of(sections, [](const Section& one) { return one.id == kStart; });
  ModuleParts parts;
  std::optional<std::string> metadata;
  WASMGRAD_CHECK(append(parts.code, module, 0, sandbox::kWasmHeaderBytes));
  for (const Section& section : sections) {
    if (section.id == kCustom) {
      if (metadata) continue;
      WASMGRAD_ASSIGN(metadata, read_metadata(module, section));
      continue;
    }
    std::optional<SplitData> split;
    if (section.id == kData && !starts) {
      WASMGRAD_ASSIGN(split, split_data(module, section));
    }
    parts.code.push_back(static_cast<std::byte>(section.id));
    append_number(parts.code, split ? split->section.size() : section.end - section.begin);
    if (split) {
      parts.code.insert(parts.code.end(), split->section.begin(), split->section.end());
      parts.data = std::move(split->taken);
    } else {
      WASMGRAD_CHECK(append(parts.code, module, section.begin, section.end));
    }
  }
  if (!metadata) {
    return Error{Errc::kInvalidEncoding, "not a graph module: it has no custom section '" +
                                             std::string(kMetadataSection) +
                                             "', which `wasmgrad compile` writes"};
  }
  parts.metadata = std::move(*metadata);
  return parts;
}

}  // namespace wasmgrad::graph
