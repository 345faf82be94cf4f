// Waiting for a word of memory to change: what WebAssembly has an instruction for, and Linux a system call.
#pragma once

#include <cstdint>

#if !defined(__wasm__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace wg {

/// Turns of waiting awake before sleeping: about as long as waking another thread takes.
#if defined(__x86_64__)
inline constexpr int kTurnsAwake = 1000;
#else
inline constexpr int kTurnsAwake = 20000;
#endif

/// Sleeps until another thread wakes it, unless the word is something else than `expected`. It may also
/// return for nothing.
inline void sleep(std::int32_t* word, std::int32_t expected) {
#if defined(__wasm__)
  __builtin_wasm_memory_atomic_wait32(word, expected, -1);
#else
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
#endif
}

/// Wakes all threads that sleep on the word.
inline void wake(std::int32_t* word) {
#if defined(__wasm__)
  __builtin_wasm_memory_atomic_notify(word, 0xffffffff);
#else
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, nullptr, nullptr, 0);
#endif
}

/// Takes a turn.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace wg
