// A request to stop, set from a signal handler or another thread and polled by long loops.
#pragma once

#include <atomic>

namespace wasmgrad {

class StopToken {
 public:
  /// Safe in a signal handler.
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> requested_{false};
  static_assert(std::atomic<bool>::is_always_lock_free);
};

}  // namespace wasmgrad
