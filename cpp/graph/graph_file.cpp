#include "wasmgrad/graph/graph_file.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::graph {

namespace {

using sandbox::SectionReader;

enum SectionId : std::uint8_t { kImport = 2, kMemory = 5, kExport = 7 };
enum ExportKind : std::uint8_t { kFunctionKind = 0, kMemoryKind = 2 };

constexpr std::uint64_t kPageBytes = 65536;
constexpr std::pair<std::string_view, ExportKind> kExports[] = {
    {"memory", kMemoryKind},         {"_initialize", kFunctionKind},   {"graph_input", kFunctionKind},
    {"graph_output", kFunctionKind}, {"graph_weights", kFunctionKind}, {"graph_run", kFunctionKind},
    {"graph_call", kFunctionKind}};
constexpr std::string_view kOfStates = "graph_state";  // where the metadata has any

Error no_graph(const std::string& why) { return {Errc::kInvalidEncoding, "not a graph module: " + why}; }

// What the section holds; nothing when there is none, or when it is empty.
std::span<const std::byte> section_of(std::span<const std::byte> code, SectionId id) {
  SectionReader reader(code.subspan(sandbox::kWasmHeaderBytes));
  while (const auto found = reader.byte()) {
    const auto section = reader.take(reader.number());
    if (section && *found == id) return *section;
  }
  return {};
}

Status check_imports(std::span<const std::byte> code) {
  const std::uint32_t count = SectionReader(section_of(code, kImport)).number().value_or(0);
  if (count == 0) return {};
  return no_graph("it has " + std::to_string(count) + " imports; expected none");
}

Status check_exports(std::span<const std::byte> code, bool has_states) {
  SectionReader reader(section_of(code, kExport));
  std::map<std::string_view, std::uint8_t> found;
  const std::uint32_t count = reader.number().value_or(0);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto name = reader.take(reader.number());
    const auto kind = reader.byte();
    if (!name || !kind || !reader.number()) return no_graph("its exports are malformed");
    const std::string_view text(reinterpret_cast<const char*>(name->data()), name->size());
    if (!found.emplace(text, *kind).second) return no_graph("it exports " + in_quotes(text) + " twice");
  }
  const auto check = [&](std::string_view name, ExportKind kind) -> Status {
    const auto there = found.find(name);
    if (there != found.end() && there->second == kind) return {};
    return no_graph("it does not export the " + std::string(kind == kMemoryKind ? "memory" : "function") +
                    " '" + std::string(name) + "'");
  };
  for (const auto& [name, kind] : kExports) WASMGRAD_CHECK(check(name, kind));
  return has_states ? check(kOfStates, kFunctionKind) : Status();
}

Expected<std::uint32_t> pages_of(std::span<const std::byte> code) {
  constexpr std::uint32_t kMostPages = 65536;
  SectionReader reader(section_of(code, kMemory));
  const auto count = reader.number(), limits = reader.number();
  if (count != 1 || !limits || *limits > 1) return no_graph("expected one plain memory of 32 bits");
  const auto least = reader.number();
  if (*limits == 0 || !least || *least > kMostPages || reader.number() != least) {
    return no_graph("its memory is not of one fixed size, of at most " + std::to_string(kMostPages) +
                    " pages");
  }
  return *least;
}

Status check_memory(const GraphFile& file, std::uint64_t data_end) {
  const std::uint64_t memory = file.pages * kPageBytes;
  if (file.metadata.memory.bytes > memory) {
    return Error{Errc::kInvalidEncoding,
                 "metadata.memory.bytes is " + std::to_string(file.metadata.memory.bytes) +
                     "; expected at most the " + std::to_string(memory) + " bytes of the module's memory"};
  }
  if (data_end <= memory) return {};
  return no_graph("a data segment ends at " + std::to_string(data_end) + ", past the end of the memory (" +
                  std::to_string(memory) + " bytes)");
}

}  // namespace

Expected<GraphFile> read_graph_file(const ByteSource& module) {
  WASMGRAD_ASSIGN(ModuleParts parts, take_apart(module));
  GraphFile file;
  WASMGRAD_ASSIGN(file.metadata, Metadata::from_json(parts.metadata));
  WASMGRAD_CHECK(check_imports(parts.code));
  WASMGRAD_CHECK(check_exports(parts.code, !file.metadata.states.empty()));
  WASMGRAD_ASSIGN(file.pages, pages_of(parts.code));
  file.code = std::move(parts.code);
  file.data = std::move(parts.data);
  WASMGRAD_CHECK(check_memory(file, parts.data_end));
  return file;
}

}  // namespace wasmgrad::graph
