// Counts a guest's calls of host functions and the time they take. It must not know what they do.
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

#include "wasmgrad/base/host_function.hpp"

namespace wasmgrad::runner {

class CallMeter {
 public:
  /// The same function, whose calls are counted here: the meter must outlive it.
  HostFunction metered(HostFunction function) {
    function.call = [this, call = std::move(function.call)](
                        GuestMemory memory, std::span<const Value> arguments, std::span<Value> results) {
      const auto start = Clock::now();
      Status status = call(memory, arguments, results);
      time_ += Clock::now() - start;
      ++calls_;
      return status;
    };
    return function;
  }

  [[nodiscard]] std::uint64_t calls() const noexcept { return calls_; }
  [[nodiscard]] double seconds() const noexcept { return std::chrono::duration<double>(time_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  std::uint64_t calls_ = 0;
  Clock::duration time_{};
};

}  // namespace wasmgrad::runner
