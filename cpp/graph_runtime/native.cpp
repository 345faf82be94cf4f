// The graph runtime of a model compiled for this computer: a shared library with the exports of a graph
// module, in pointers.
//
// It has one instance for each time that it is loaded. Weights, metadata and the size of the memory come from
// the compiler, as data; weights are copied once, so that they lie beside the workspace as the plan expects.
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "wasmgrad/graph_runtime/choice.hpp"
#include "wasmgrad/graph_runtime/plan.hpp"
#include "wasmgrad/graph_runtime/threads/native_threads.hpp"

#define WASMGRAD_EXPORT __attribute__((visibility("default")))

extern "C" {
// Made by the compiler (python/wasmgrad/compiler/backend/native.py).
extern const std::uint8_t graph_image[];
extern const std::uint64_t graph_image_bytes;
extern const std::uint64_t graph_memory_bytes;
extern const char graph_metadata_text[];
}

namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPiece = std::size_t{1} << 20;

std::uint8_t* base = nullptr;
std::size_t scratch_used = 0;

wg::Choice choice;

// Null for the offset of what is not there.
void* address(std::int32_t offset) { return offset < 0 ? nullptr : base + offset; }

std::uint8_t* scratch() {
  std::int32_t offset = 0;
  plan_scratch(&offset);
  return base + offset;
}

// Copies the weights. The library's pages that have been copied leave the memory again, so that it does not
// hold the weights twice: pages that nothing has changed are read from the file when they are wanted again.
void copy_image(std::uint8_t* to) {
  for (std::size_t done = 0; done < graph_image_bytes;) {
    const std::uint8_t* from = graph_image + done;
    const std::size_t to_boundary = kPiece - reinterpret_cast<std::uintptr_t>(from) % kPiece;
    const std::size_t left = graph_image_bytes - done;
    const std::size_t piece = left < to_boundary ? left : to_boundary;
    std::memcpy(to + done, from, piece);
    if (piece == kPiece)
      madvise(const_cast<std::uint8_t*>(from), piece, MADV_DONTNEED);  // a hint: it may fail
    done += piece;
  }
}

}  // namespace

extern "C" {

// TVM's generated code calls these two. What is taken is given back in reverse order.
void* TVMBackendAllocWorkspace(int /*device_type*/, int /*device_id*/, std::uint64_t bytes, int /*type_code*/,
                               int /*type_bits*/) {
  std::uint8_t* taken = scratch() + scratch_used;
  scratch_used += (bytes + kAlignment - 1) & ~(kAlignment - 1);
  return taken;
}

int TVMBackendFreeWorkspace(int /*device_type*/, int /*device_id*/, void* taken) {
  scratch_used = static_cast<std::uint8_t*>(taken) - scratch();
  return 0;
}

void* (*__TVMBackendAllocWorkspace)(int, int, std::uint64_t, int, int) = TVMBackendAllocWorkspace;
int (*__TVMBackendFreeWorkspace)(int, int, void*) = TVMBackendFreeWorkspace;

/// Takes memory, copies the weights into it and loads them. 0, or 1 when there is not enough memory. To be
/// called once, first.
WASMGRAD_EXPORT std::int32_t graph_initialize() {
  base = static_cast<std::uint8_t*>(
      std::aligned_alloc(kAlignment, (graph_memory_bytes + kAlignment) / kAlignment * kAlignment));
  if (base == nullptr) return wg::kInvalidArgument;
  copy_image(base);
  std::memset(base + graph_image_bytes, 0, graph_memory_bytes - graph_image_bytes);
  plan_load(base);
  return 0;
}

/// Starts as many threads that share the work of runs, besides the one that calls graph_run, or as many as
/// the library was compiled for and the system allows; returns how many there are. To be called once at most,
/// after graph_initialize. In a child of fork() there are none.
WASMGRAD_EXPORT std::int32_t graph_start_threads(std::int32_t wanted) {
  return wg::start_threads(base, wanted);
}

/// Ends its threads and gives the memory back.
WASMGRAD_EXPORT void graph_close() {
  wg::end_threads();
  std::free(base);
  base = nullptr;
}

/// UTF-8 JSON, terminated: what a WebAssembly module has in its section `wasmgrad.graph`.
WASMGRAD_EXPORT const char* graph_metadata() { return graph_metadata_text; }

/// Chooses the plan that the functions below speak of, and for how many samples: as in a WebAssembly module.
WASMGRAD_EXPORT std::int32_t graph_select(std::int32_t plan, std::int32_t batch) {
  return batch >= 0 && choice.select(plan, batch) ? 0 : wg::kInvalidArgument;
}
WASMGRAD_EXPORT void* graph_input(std::int32_t index) { return address(choice.input(index)); }
WASMGRAD_EXPORT void* graph_output(std::int32_t index) { return address(choice.output(index)); }
WASMGRAD_EXPORT void* graph_state(std::int32_t index) {
  std::int32_t offset = -1;
  plan_state(index, &offset);
  return address(offset);
}
WASMGRAD_EXPORT std::int32_t graph_run() { return choice.run(base); }
WASMGRAD_EXPORT std::int32_t graph_call(std::int32_t index) {
  return choice.call(index, base) ? 0 : wg::kInvalidArgument;
}

}  // extern "C"
