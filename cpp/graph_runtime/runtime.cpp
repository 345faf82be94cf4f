// The graph runtime: what a graph module exports (docs/graph-module.md), over the plans that the
// compiler generated.
//
// It owns no memory of its own: the compiler lays everything out from the first page after the module's data
// and stack, and then enlarges the linear memory. It must not import anything.
#include <cstddef>
#include <cstdint>

#include "wasmgrad/graph_runtime/choice.hpp"
#include "wasmgrad/graph_runtime/plan.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

extern "C" {
extern unsigned char __heap_end;  // NOLINT(bugprone-reserved-identifier): the linker's name
}

namespace {

constexpr std::size_t kAlignment = 64;

std::uint8_t* base() {
  return &__heap_end;
}  // the memory's end as it was linked: a multiple of the page size

wg::Choice choice;

// 0 for the offset of what is not there.
std::uint32_t address(std::int32_t offset) {
  return offset < 0 ? 0 : static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(base() + offset));
}

std::uint8_t* scratch() {
  std::int32_t offset = 0;
  plan_scratch(&offset);
  return base() + offset;
}

bool is_loaded = false;

// Once, after the weights are in place: when the module begins, or, when a host fills them in, before it
// runs.
void load() {
  if (is_loaded) return;
  is_loaded = true;
  plan_load(base());
}

struct WeightsInfo {
  std::int32_t embedded = 0;
  std::int32_t loads = 0;
};

WeightsInfo weights_info() {
  WeightsInfo info;
  plan_weights(&info.embedded, &info.loads);
  return info;
}

// Kernels take scratch memory and give it back in reverse order; the compiler made room for the most that any
// kernel holds.
std::size_t scratch_used = 0;

void* take_scratch(int /*device_type*/, int /*device_id*/, std::uint64_t bytes, int /*type_code*/,
                   int /*type_bits*/) {
  std::uint8_t* taken = scratch() + scratch_used;
  scratch_used += (bytes + kAlignment - 1) & ~(kAlignment - 1);
  return taken;
}

int give_back_scratch(int /*device_type*/, int /*device_id*/, void* taken) {
  scratch_used = static_cast<std::uint8_t*>(taken) - scratch();
  return 0;
}

}  // namespace

extern "C" {

// TVM's generated code calls through these two.
void* (*__TVMBackendAllocWorkspace)(int, int, std::uint64_t, int,
                                    int) = take_scratch;  // NOLINT(bugprone-reserved-identifier)
int (*__TVMBackendFreeWorkspace)(int, int,
                                 void*) = give_back_scratch;  // NOLINT(bugprone-reserved-identifier)

void _initialize() {  // NOLINT(bugprone-reserved-identifier): the name that WASI reactors have
  wg::find_threads();
  if (weights_info().embedded != 0) load();
}

// All that follows speaks of the chosen plan.
std::int32_t graph_select(std::int32_t plan, std::int32_t batch) {
  return batch >= 0 && choice.select(plan, batch) ? 0 : wg::kInvalidArgument;
}
std::uint32_t graph_input(std::int32_t index) { return address(choice.input(index)); }
std::uint32_t graph_output(std::int32_t index) { return address(choice.output(index)); }
std::uint32_t graph_state(std::int32_t index) {
  std::int32_t offset = -1;
  plan_state(index, &offset);
  return address(offset);
}

// 0 once other weights could no longer take the place of those that were loaded.
std::uint32_t graph_weights() {
  const bool is_gone = is_loaded && weights_info().loads != 0;
  return is_gone ? 0 : static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(base()));
}

std::int32_t graph_run() {
  load();
  const std::int32_t failure = choice.run(base());
  return wg::stopped() ? wg::kRuntimeError : failure;
}

std::int32_t graph_call(std::int32_t index) {
  load();
  return choice.call(index, base()) ? 0 : wg::kInvalidArgument;
}

}  // extern "C"
