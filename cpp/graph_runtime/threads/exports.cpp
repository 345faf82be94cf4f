// What a graph module for several threads exports besides: the entry of the other threads, each an instance
// of its own over the same memory.
#include "wasmgrad/graph_runtime/plan.hpp"
#include "wasmgrad/graph_runtime/threads/pool.hpp"

extern "C" {
extern unsigned char __heap_end;  // NOLINT(bugprone-reserved-identifier): the linker's name
}

namespace {

constexpr std::int32_t kStackBytes = 1 << 16;

// Where the memory of each other thread lies; known before any of them starts.
std::int32_t count = 0;
std::int32_t bytes = 0;
std::uint8_t* first = nullptr;

}  // namespace

void wg::find_threads() {
  std::int32_t offset = 0;
  plan_threads(&count, &offset, &bytes);
  first = &__heap_end + offset;
}

extern "C" {

// Has no stack yet, and so must not need one.
std::uint8_t* thread_stack(std::int32_t index) { return first + (index - 1) * bytes + kStackBytes; }

std::int32_t thread_main(std::int32_t index) {
  wg::serve(thread_stack(index));
  return 0;
}

std::int32_t thread_exists(std::int32_t index) { return index >= 1 && index < count ? 1 : 0; }

// graph_thread(index): takes its stack and serves until graph_stop(). The linker gave every instance the
// stack of the first one, so that nothing may use the stack before; no C function can promise that.
asm(".globaltype __stack_pointer, i32\n"
    ".functype thread_exists (i32) -> (i32)\n"
    ".functype thread_stack (i32) -> (i32)\n"
    ".functype thread_main (i32) -> (i32)\n"
    ".section .text.graph_thread,\"\",@\n"
    ".globl graph_thread\n"
    ".type graph_thread,@function\n"
    "graph_thread:\n"
    ".functype graph_thread (i32) -> (i32)\n"
    "local.get 0\n"
    "call thread_exists\n"
    "i32.eqz\n"
    "if\n"
    "i32.const 1\n"
    "return\n"
    "end_if\n"
    "local.get 0\n"
    "call thread_stack\n"
    "global.set __stack_pointer\n"
    "local.get 0\n"
    "call thread_main\n"
    "end_function\n");

void graph_stop() { wg::stop(); }
void graph_spin() { wg::never_sleep(); }

}  // extern "C"
