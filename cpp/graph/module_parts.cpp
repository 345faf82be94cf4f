#include "wasmgrad/graph/module_parts.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::graph {

namespace {

using sandbox::append_number;
using sandbox::SectionReader;

enum Section : std::uint8_t { kCustom = 0, kStart = 8, kData = 11 };

constexpr std::string_view kMetadataSection = "wasmgrad.graph";
// Constants of the code may stay where they are.
constexpr std::size_t kLargeBytes = 65536;

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_section(std::vector<std::byte>& out, std::uint8_t id, std::span<const std::byte> contents) {
  out.push_back(static_cast<std::byte>(id));
  append_number(out, contents.size());
  append(out, contents);
}

struct SplitData {
  std::vector<std::byte> section;
  std::vector<DataSegment> taken;
};

// The data section, a part of `module`, with its large segments emptied. Nothing when a segment has another
// form than those of an ordinary linker (active, in memory 0, at a constant address), or is malformed.
std::optional<SplitData> split_data(std::span<const std::byte> module, std::span<const std::byte> section) {
  constexpr std::uint8_t kActive = 0, kI32Const = 0x41, kEnd = 0x0b;
  SectionReader reader(section);
  SplitData split;
  const auto count = reader.number();
  if (!count) return std::nullopt;
  append_number(split.section, *count);
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto before = reader.rest();
    if (reader.byte() != kActive || reader.byte() != kI32Const) return std::nullopt;
    const auto address = reader.signed_number();
    if (!address || reader.byte() != kEnd) return std::nullopt;
    append(split.section, before.first(before.size() - reader.rest().size()));
    auto contents = reader.take(reader.number());
    if (!contents) return std::nullopt;
    if (contents->size() >= kLargeBytes) {
      split.taken.push_back({static_cast<std::uint32_t>(*address),
                             static_cast<std::uint64_t>(contents->data() - module.data()), contents->size()});
      contents = std::span<const std::byte>();
    }
    append_number(split.section, contents->size());
    append(split.section, *contents);
  }
  return split;
}

// The contents of a custom section called `name`.
std::optional<std::span<const std::byte>> named(std::span<const std::byte> section, std::string_view name) {
  SectionReader reader(section);
  const auto found = reader.take(reader.number());
  if (!found || !std::ranges::equal(*found, std::as_bytes(std::span(name)))) return std::nullopt;
  return reader.rest();
}

struct RawSection {
  std::uint8_t id;
  std::span<const std::byte> contents;
};

Expected<std::vector<RawSection>> list_sections(std::span<const std::byte> module) {
  constexpr std::array<std::byte, sandbox::kWasmHeaderBytes> kHeader{
      std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'}, std::byte{1}};
  if (module.size() < kHeader.size() || !std::ranges::equal(module.first(kHeader.size()), kHeader)) {
    return Error{Errc::kInvalidEncoding, "not a WebAssembly module"};
  }
  std::vector<RawSection> sections;
  SectionReader reader(module.subspan(kHeader.size()));
  while (const auto id = reader.byte()) {
    const auto contents = reader.take(reader.number());
    if (!contents) {
      return Error{Errc::kInvalidEncoding,
                   "not a whole WebAssembly module: section " + std::to_string(sections.size()) +
                       " runs past the end of its " + std::to_string(module.size()) + " bytes"};
    }
    sections.push_back({*id, *contents});
  }
  return sections;
}

}  // namespace

Expected<ModuleParts> take_apart(std::span<const std::byte> module) {
  WASMGRAD_ASSIGN(const std::vector<RawSection> sections, list_sections(module));
  // A start function would run before the host has copied anything.
  const bool starts = std::ranges::any_of(sections, [](const RawSection& one) { return one.id == kStart; });
  ModuleParts parts;
  std::optional<std::span<const std::byte>> metadata;
  append(parts.code, module.first(sandbox::kWasmHeaderBytes));
  for (const RawSection& section : sections) {
    if (section.id == kCustom) {
      if (!metadata) metadata = named(section.contents, kMetadataSection);
      continue;
    }
    auto split = section.id == kData && !starts ? split_data(module, section.contents) : std::nullopt;
    append_section(parts.code, section.id, split ? split->section : section.contents);
    if (split) parts.data = std::move(split->taken);
  }
  if (!metadata) {
    return Error{Errc::kInvalidEncoding, "not a graph module: it has no custom section '" +
                                             std::string(kMetadataSection) +
                                             "', which `wasmgrad compile` writes"};
  }
  parts.metadata = {reinterpret_cast<const char*>(metadata->data()), metadata->size()};
  return parts;
}

}  // namespace wasmgrad::graph
