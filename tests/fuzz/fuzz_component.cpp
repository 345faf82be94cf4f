// WebAssembly components as bytes, before anything in them is instantiated: what the reader makes of them,
// and the memories of the core modules inside.
#include "fuzz.hpp"
#include "wasmgrad/sandbox/component/component.hpp"
#include "wasmgrad/sandbox/component/module_memory.hpp"

using namespace wasmgrad;
using namespace wasmgrad::sandbox;

namespace {

void read_module(std::span<const std::byte> module) {
  fuzz::touch(module);
  const auto pages = component::memory_pages(module);
  if (!pages) return;
  const auto fixed = component::with_fixed_memory(module);
  fuzz::require(component::memory_pages(fixed) == pages,
                "a memory that is fixed has the pages that it began with");
}

void visit(const component::Component& component) {
  for (const component::Definition& definition : component.definitions) {
    if (const auto* module = std::get_if<component::CoreModule>(&definition)) read_module(module->bytes);
    if (const auto* nested = std::get_if<component::NestedComponent>(&definition)) visit(*nested->component);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::ExactBytes bytes(fuzz::as_input(data, size));
  if (!component::is_component(bytes.bytes())) {
    read_module(bytes.bytes());
    return 0;
  }
  const auto component = component::read_component(bytes.bytes());
  if (component) {
    visit(**component);
  } else {
    fuzz::require_sentence(component.error().message);
  }
  return 0;
}
