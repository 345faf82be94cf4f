// WebAssembly modules before an engine sees them: what a graph module says about itself, its parts, and what
// the sandbox looks for. The first byte chooses between the JSON alone and a module.
#include "fuzz.hpp"
#include "wasmgrad/graph/graph_file.hpp"
#include "wasmgrad/sandbox/relaxed_simd.hpp"
#include "wasmgrad/sandbox/type_section.hpp"

using namespace wasmgrad;

namespace {

void read_metadata(std::string_view json) {
  const auto metadata = graph::Metadata::from_json(json);
  if (!metadata) fuzz::require_sentence(metadata.error().message);
}

void read_module(std::span<const std::byte> module) {
  sandbox::declares_gc_types(module);
  if (const auto changed = sandbox::with_plain_relaxed_results(module)) {
    fuzz::touch(*changed);
  }
  const auto parts = graph::take_apart(module);
  if (!parts) {
    fuzz::require_sentence(parts.error().message);
    return;
  }
  std::size_t taken = 0;
  for (const graph::DataSegment& segment : parts->data) {
    fuzz::require(segment.offset <= module.size() && segment.size <= module.size() - segment.offset,
                  "a data segment lies in the module");
    fuzz::touch(module.subspan(segment.offset, segment.size));
    taken += segment.size;
  }
  fuzz::require(taken <= module.size(), "data is taken from the module");
  read_metadata(parts->metadata);
  if (const auto file = graph::read_graph_file(module)) {
    for (const graph::DataSegment& segment : file->data) {
      fuzz::require(segment.address + segment.size <= file->pages * std::uint64_t{65536},
                    "a data segment goes into the memory");
    }
  } else {
    fuzz::require_sentence(file.error().message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Reader input(fuzz::as_input(data, size));
  const bool json = input.number<std::uint8_t>() % 2 != 0;
  const fuzz::ExactBytes bytes(input.rest());
  if (json) {
    read_metadata(fuzz::as_text(bytes.bytes()));
  } else {
    read_module(bytes.bytes());
  }
  return 0;
}
