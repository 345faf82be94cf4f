#include "wasmgrad/sandbox/type_section.hpp"

#include <cstdint>

#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::sandbox {

namespace {

constexpr std::uint8_t kTypeSection = 1;
constexpr std::uint8_t kFunctionForm = 0x60;

bool has_other_forms(std::span<const std::byte> section) {
  SectionReader reader(section);
  const auto count = reader.number();
  for (std::uint32_t i = 0; count && i < *count; ++i) {
    const auto form = reader.byte();
    if (!form) return false;
    if (*form != kFunctionForm) return true;
    // Parameters and results: value types of one byte each. Longer ones are refused by the engine's loader.
    if (!reader.take(reader.number()) || !reader.take(reader.number())) return false;
  }
  return false;
}

}  // namespace

bool declares_gc_types(std::span<const std::byte> module) noexcept {
  if (module.size() < kWasmHeaderBytes) return false;
  SectionReader reader(module.subspan(kWasmHeaderBytes));
  while (const auto id = reader.byte()) {
    const auto section = reader.take(reader.number());
    if (!section) return false;
    if (*id == kTypeSection) return has_other_forms(*section);
  }
  return false;
}

}  // namespace wasmgrad::sandbox
