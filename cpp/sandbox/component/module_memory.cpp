#include "wasmgrad/sandbox/component/module_memory.hpp"

#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::sandbox::component {

namespace {

constexpr std::uint8_t kMemorySection = 5;

std::optional<std::uint32_t> pages_of(std::span<const std::byte> section) {
  SectionReader in(section);
  const auto count = in.number();
  const auto flags = in.byte();
  if (count != 1 || !flags || *flags > 1) return std::nullopt;
  return in.number();
}

// Calls visit(id, section) for each section, until it returns false.
template <class Visit>
void visit_sections(std::span<const std::byte> module, Visit visit) {
  if (module.size() < kWasmHeaderBytes) return;
  SectionReader in(module.subspan(kWasmHeaderBytes));
  while (const auto id = in.byte()) {
    const auto section = in.take(in.number());
    if (!section || !visit(*id, *section)) return;
  }
}

}  // namespace

std::optional<std::uint32_t> memory_pages(std::span<const std::byte> module) {
  std::optional<std::uint32_t> pages;
  visit_sections(module, [&](std::uint8_t id, std::span<const std::byte> section) {
    if (id == kMemorySection) pages = pages_of(section);
    return id != kMemorySection;
  });
  return pages;
}

std::vector<std::byte> with_fixed_memory(std::span<const std::byte> module) {
  std::vector<std::byte> fixed(module.begin(), module.begin() + kWasmHeaderBytes);
  visit_sections(module, [&](std::uint8_t id, std::span<const std::byte> section) {
    std::vector<std::byte> memory;
    if (id == kMemorySection) {
      const std::uint32_t pages = pages_of(section).value_or(0);
      memory = {std::byte{1}, std::byte{1}};
      append_number(memory, pages);
      append_number(memory, pages);
      section = memory;
    }
    fixed.push_back(std::byte{id});
    append_number(fixed, section.size());
    fixed.insert(fixed.end(), section.begin(), section.end());
    return true;
  });
  return fixed;
}

}  // namespace wasmgrad::sandbox::component
