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

enum SectionId : std::uint8_t { kImport = 2, kMemory = 5, kExport = 7, kData = 11 };
enum ExternKind : std::uint8_t { kFunctionKind = 0, kMemoryKind = 2 };

constexpr std::uint64_t kPageBytes = 65536;
constexpr std::pair<std::string_view, ExternKind> kExports[] = {
    {"memory", kMemoryKind},         {"_initialize", kFunctionKind},   {"graph_input", kFunctionKind},
    {"graph_output", kFunctionKind}, {"graph_weights", kFunctionKind}, {"graph_run", kFunctionKind},
    {"graph_call", kFunctionKind}};
constexpr std::string_view kOfStates = "graph_state";  // where the metadata has any
constexpr std::string_view kOfPlans = "graph_select";  // where there is something to choose
// Of modules for several threads.
constexpr std::pair<std::string_view, ExternKind> kThreadExports[] = {
    {"graph_thread", kFunctionKind}, {"graph_stop", kFunctionKind}, {"graph_spin", kFunctionKind}};

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

std::string_view name_in(SectionReader& reader) {
  const auto name = reader.take(reader.number()).value_or(std::span<const std::byte>());
  return {reinterpret_cast<const char*>(name.data()), name.size()};
}

Status check_imports(std::span<const std::byte> code, bool threads) {
  SectionReader reader(section_of(code, kImport));
  const std::uint32_t count = reader.number().value_or(0);
  if (count != (threads ? 1 : 0)) {
    return no_graph("it has " + std::to_string(count) + " imports; expected " +
                    (threads ? "one, of the memory" : "none"));
  }
  if (count == 0 || (name_in(reader) == "env" && name_in(reader) == "memory" && reader.byte() == kMemoryKind))
    return {};
  return no_graph("it imports something else than the memory 'env' 'memory'");
}

Status check_exports(std::span<const std::byte> code, const Metadata& metadata, bool threads) {
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
  const auto check = [&](std::string_view name, ExternKind kind) -> Status {
    const auto there = found.find(name);
    if (there != found.end() && there->second == kind) return {};
    return no_graph("it does not export the " + std::string(kind == kMemoryKind ? "memory" : "function") +
                    " '" + std::string(name) + "'");
  };
  for (const auto& [name, kind] : kExports) WASMGRAD_CHECK(check(name, kind));
  if (threads) {
    for (const auto& [name, kind] : kThreadExports) WASMGRAD_CHECK(check(name, kind));
  }
  if (metadata.selects()) WASMGRAD_CHECK(check(kOfPlans, kFunctionKind));
  return metadata.states.empty() ? Status() : check(kOfStates, kFunctionKind);
}

// Of the memory that is defined, or of the shared one that is imported.
Expected<std::uint32_t> pages_of(std::span<const std::byte> code, bool threads) {
  constexpr std::uint32_t kMostPages = 65536, kBounded = 1, kShared = 2;
  SectionReader defined(section_of(code, kMemory)), imported(section_of(code, kImport));
  const std::uint32_t count = defined.number().value_or(0);
  if (count != (threads ? 0 : 1)) return no_graph("expected one memory");
  if (threads) {
    (void)imported.number();
    (void)name_in(imported), (void)name_in(imported), (void)imported.byte();
  }
  SectionReader& reader = threads ? imported : defined;
  const auto limits = reader.number();
  const std::uint32_t kind = threads ? kShared : 0;
  if (!limits || (*limits & ~kBounded) != kind) {
    return no_graph(std::string("expected one ") + (threads ? "shared" : "plain") + " memory of 32 bits");
  }
  const auto least = reader.number();
  if (*limits == kind || !least || *least > kMostPages || reader.number() != least) {
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
  const bool threads = file.metadata.options.threads > 1;
  WASMGRAD_CHECK(check_imports(parts.code, threads));
  WASMGRAD_CHECK(check_exports(parts.code, file.metadata, threads));
  WASMGRAD_ASSIGN(file.pages, pages_of(parts.code, threads));
  // Every instance would write its data again, while others run.
  if (threads && parts.data_end == 0 && !section_of(parts.code, kData).empty())
    return no_graph("its data is not as an ordinary linker lays it out");
  file.code = std::move(parts.code);
  file.data = std::move(parts.data);
  WASMGRAD_CHECK(check_memory(file, parts.data_end));
  return file;
}

}  // namespace wasmgrad::graph
