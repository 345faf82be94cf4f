// A request to stop, set from a signal handler or another thread and polled by long loops.
#pragma once

#include <atomic>

namespace wasmgrad {

class StopToken {
 public:
  /// Safe in a signal handler.
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  /// Before the token serves another loop; not while one polls it.
  void reset() noexcept { requested_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }

  /// Whether somebody will look at the request soon. Where nobody does, the owner may as well end the
  /// process. Safe in a signal handler.
  [[nodiscard]] bool polled() const noexcept { return pollers_.load(std::memory_order_relaxed) > 0; }

  /// Held while a loop polls `token`, which may be null.
  class Polling {
   public:
    explicit Polling(const StopToken* token) noexcept : token_(token) { add(1); }
    Polling(const Polling&) = delete;
    Polling& operator=(const Polling&) = delete;
    ~Polling() { add(-1); }

   private:
    void add(int change) noexcept {
      if (token_ != nullptr) token_->pollers_.fetch_add(change, std::memory_order_relaxed);
    }
    const StopToken* token_;
  };

 private:
  std::atomic<bool> requested_{false};
  mutable std::atomic<int> pollers_{0};
  static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);
};

}  // namespace wasmgrad
