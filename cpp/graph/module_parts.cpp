#include "wasmgrad/graph/module_parts.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::graph {

namespace {

using sandbox::append_number;
using sandbox::SectionReader;

enum SectionId : std::uint8_t { kCustom = 0, kImport = 2, kStart = 8, kData = 11 };

// By id, in the order of a module: tags stand before globals, the count of data segments before the code.
constexpr std::array<std::uint8_t, 13> kOrder{1, 2, 3, 4, 5, 13, 6, 7, kStart, 9, 12, 10, kData};

constexpr std::string_view kMetadataSection = "wasmgrad.graph";
constexpr std::size_t kNumberBytes = 5;  // of the longest number
// Constants of the code may stay where they are.
constexpr std::size_t kLargeBytes = 65536;
// Of what is read here: a file may be sparse and name sections of any size.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

Error invalid_module(const std::string& why) {
  return {Errc::kInvalidEncoding, "not a valid WebAssembly module: " + why};
}

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
  std::uint64_t end = 0;  // the address behind all segments
};

// Reads a module until it has given too much.
class Pieces {
 public:
  explicit Pieces(const ByteSource& module) : module_(module) {}

  [[nodiscard]] std::uint64_t size() const { return module_.size(); }

  Status append(std::vector<std::byte>& out, std::uint64_t begin, std::uint64_t end) {
    read_ += end - begin;
    if (read_ > kMostBytes) {
      return Error{Errc::kTooLarge, "the module has " + std::to_string(read_) +
                                        " bytes or more beside its large data; at most " +
                                        std::to_string(kMostBytes) + " are read"};
    }
    const std::size_t before = out.size();
    out.resize(before + (end - begin));
    return module_.read(begin, std::span(out).subspan(before));
  }

  // At most `size` bytes from `begin` on, which end at `end`.
  Expected<std::vector<std::byte>> head(std::uint64_t begin, std::uint64_t end, std::uint64_t size) {
    std::vector<std::byte> bytes;
    WASMGRAD_CHECK(append(bytes, begin, begin + std::min(size, end - begin)));
    return bytes;
  }

 private:
  const ByteSource& module_;
  std::uint64_t read_ = 0;
};

// Where `reader`, which reads `bytes` from `begin` on, has come to.
std::uint64_t position(std::uint64_t begin, const std::vector<std::byte>& bytes,
                       const SectionReader& reader) {
  return begin + bytes.size() - reader.rest().size();
}

Status check_order(const std::vector<Section>& sections) {
  auto next = kOrder.begin();
  for (const Section& section : sections) {
    if (section.id == kCustom) continue;
    const auto found = std::find(next, kOrder.end(), section.id);
    if (found == kOrder.end()) {
      return invalid_module("its section of kind " + std::to_string(section.id) +
                            " is unknown, out of order or there twice");
    }
    next = found + 1;
  }
  return {};
}

Expected<std::vector<Section>> list_sections(Pieces& module) {
  constexpr std::array<std::byte, sandbox::kWasmHeaderBytes> kHeader{
      std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'}, std::byte{1}};
  WASMGRAD_ASSIGN(const std::vector<std::byte> header, module.head(0, module.size(), kHeader.size()));
  if (!std::ranges::equal(header, kHeader)) {
    return Error{Errc::kInvalidEncoding, "not a WebAssembly module, of version 1"};
  }
  std::vector<Section> sections;
  for (std::uint64_t at = kHeader.size(); at < module.size(); at = sections.back().end) {
    WASMGRAD_ASSIGN(const auto start, module.head(at, module.size(), 1 + kNumberBytes));
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
  WASMGRAD_CHECK(check_order(sections));
  return sections;
}

// Takes out segments of `least` bytes and more. Nothing when a segment has another form than those of an
// ordinary linker, or is malformed.
Expected<std::optional<SplitData>> split_data(Pieces& module, const Section& section, std::size_t least) {
  constexpr std::uint8_t kActive = 0, kI32Const = 0x41, kEnd = 0x0b;
  constexpr std::size_t kHeadBytes = 3 + 2 * kNumberBytes;
  WASMGRAD_ASSIGN(const auto start, module.head(section.begin, section.end, kNumberBytes));
  SectionReader counter(start);
  const auto count = counter.number();
  if (!count) return std::optional<SplitData>();
  SplitData split;
  append_number(split.section, *count);
  std::uint64_t at = position(section.begin, start, counter);
  for (std::uint32_t i = 0; i < *count; ++i) {
    WASMGRAD_ASSIGN(const auto bytes, module.head(at, section.end, kHeadBytes));
    SectionReader reader(bytes);
    if (reader.byte() != kActive || reader.byte() != kI32Const) return std::optional<SplitData>();
    const auto number = reader.signed_number();
    if (!number || reader.byte() != kEnd) return std::optional<SplitData>();
    const auto head_end = bytes.end() - static_cast<std::ptrdiff_t>(reader.rest().size());
    const auto length = reader.number();
    const std::uint64_t contents = position(at, bytes, reader);
    if (!length || *length > section.end - contents) return std::optional<SplitData>();
    // What is copied later must not end up over what should come after it.
    const auto address = static_cast<std::uint32_t>(*number);
    if (address < split.end) return std::optional<SplitData>();
    split.end = std::uint64_t{address} + *length;
    at = contents + *length;
    split.section.insert(split.section.end(), bytes.begin(), head_end);
    const bool large = *length >= least;
    append_number(split.section, large ? 0 : *length);
    if (large) {
      split.taken.push_back({address, contents, *length});
    } else {
      WASMGRAD_CHECK(module.append(split.section, contents, at));
    }
  }
  return at == section.end ? std::optional(std::move(split)) : std::nullopt;
}

// What a custom section holds if it is that of the metadata.
Expected<std::optional<std::string>> read_metadata(Pieces& module, const Section& section) {
  WASMGRAD_ASSIGN(const auto start, module.head(section.begin, section.end, kNumberBytes));
  SectionReader reader(start);
  const auto length = reader.number();
  std::uint64_t at = position(section.begin, start, reader);
  if (!length || *length > section.end - at) {
    return invalid_module("the name of a custom section runs past its end");
  }
  const auto text_up_to = [&](std::uint64_t end) -> Expected<std::string> {
    std::vector<std::byte> bytes;
    WASMGRAD_CHECK(module.append(bytes, at, end));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  WASMGRAD_ASSIGN(const std::string name, text_up_to(at + *length));
  if (!is_utf8(name)) return invalid_module("the name of a custom section is not UTF-8");
  if (name != kMetadataSection) return std::optional<std::string>();
  at += *length;
  WASMGRAD_ASSIGN(std::string metadata, text_up_to(section.end));
  return std::optional(std::move(metadata));
}

// The metadata of the one section that has it.
Expected<std::string> find_metadata(Pieces& module, const std::vector<Section>& sections) {
  std::optional<std::string> metadata;
  for (const Section& section : sections) {
    if (section.id != kCustom) continue;
    WASMGRAD_ASSIGN(std::optional<std::string> found, read_metadata(module, section));
    if (found && metadata) {
      return Error{Errc::kInvalidEncoding, "not a graph module: it has two custom sections '" +
                                               std::string(kMetadataSection) + "'; expected one"};
    }
    if (found) metadata = std::move(found);
  }
  if (metadata) return std::move(*metadata);
  return Error{Errc::kInvalidEncoding, "not a graph module: it has no custom section '" +
                                           std::string(kMetadataSection) +
                                           "', which `wasmgrad compile` writes"};
}

}  // namespace

Expected<ModuleParts> take_apart(const ByteSource& source) {
  Pieces module(source);
  WASMGRAD_ASSIGN(const std::vector<Section> sections, list_sections(module));
  ModuleParts parts;
  WASMGRAD_ASSIGN(parts.metadata, find_metadata(module, sections));
  // A start function would run before the host has copied anything.
  const bool starts = std::ranges::any_of(sections, [](const Section& one) { return one.id == kStart; });
  const bool imports = std::ranges::any_of(sections, [](const Section& one) { return one.id == kImport; });
  WASMGRAD_CHECK(module.append(parts.code, 0, sandbox::kWasmHeaderBytes));
  for (const Section& section : sections) {
    if (section.id == kCustom) continue;
    std::optional<SplitData> split;
    if (section.id == kData && !starts) {
      WASMGRAD_ASSIGN(split, split_data(module, section, imports ? 1 : kLargeBytes));
    }
    parts.code.push_back(static_cast<std::byte>(section.id));
    append_number(parts.code, split ? split->section.size() : section.end - section.begin);
    if (split) {
      parts.code.insert(parts.code.end(), split->section.begin(), split->section.end());
      parts.data = std::move(split->taken);
      parts.data_end = split->end;
    } else {
      WASMGRAD_CHECK(module.append(parts.code, section.begin, section.end));
    }
  }
  return parts;
}

}  // namespace wasmgrad::graph
