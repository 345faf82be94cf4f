#include "wasmgrad/sandbox/import_section.hpp"

#include <cstdint>

#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::sandbox {

namespace {

constexpr std::uint8_t kImportSection = 2;
constexpr std::uint8_t kFunctionKind = 0;

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_name(std::vector<std::byte>& out, std::string_view name) {
  append_number(out, name.size());
  append(out, std::as_bytes(std::span(name)));
}

}  // namespace

std::optional<std::vector<std::byte>> with_imports_moved(
    std::span<const std::byte> module, std::string_view from, std::string_view to,
    const std::function<bool(std::string_view name)>& chosen) {
  if (module.size() < kWasmHeaderBytes) return std::nullopt;
  SectionReader reader(module.subspan(kWasmHeaderBytes));
  for (auto before = reader.rest(); const auto id = reader.byte(); before = reader.rest()) {
    const auto section = reader.take(reader.number());
    if (!section) return std::nullopt;
    if (*id != kImportSection) continue;
    SectionReader imports(*section);
    std::vector<std::byte> made;
    const auto count = imports.number();
    append_number(made, count.value_or(0));
    bool moved = false;
    for (std::uint32_t i = 0; i < count.value_or(0); ++i) {
      const auto where = imports.take(imports.number()), name = imports.take(imports.number());
      const auto kind = imports.byte();
      const auto type = imports.number();
      if (!where || !name || kind != kFunctionKind || !type) return std::nullopt;
      const bool moves = text(*where) == from && chosen(text(*name));
      moved = moved || moves;
      append_name(made, moves ? to : text(*where));
      append_name(made, text(*name));
      made.push_back(std::byte{kFunctionKind});
      append_number(made, *type);
    }
    if (!moved) return std::nullopt;
    std::vector<std::byte> whole;
    append(whole, module.first(module.size() - before.size()));
    whole.push_back(std::byte{kImportSection});
    append_number(whole, made.size());
    append(whole, made);
    append(whole, reader.rest());
    return whole;
  }
  return std::nullopt;
}

}  // namespace wasmgrad::sandbox
