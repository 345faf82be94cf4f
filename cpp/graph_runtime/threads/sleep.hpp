// Waiting for a word of memory to change: what WebAssembly has an instruction for, and Linux a system call.
#pragma once

#include <cstdint>

#if !defined(__wasm__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace wg {

/// Turns of waiting awake before sleeping, a fifth of a millisecond: longer than what one thread does alone
/// between the jobs of a run, since waking another one takes as long as a small job.
#if defined(__x86_64__)
inline constexpr int kTurnsAwake = 5000;
#else
inline constexpr int kTurnsAwake = 200000;
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
