// The gate that every call of one guest goes through: one at a time, timed, failures kept as sentences.
//
// It must not know what a call does. Each interface has one of its own for its last error, over the shared
// gate of the guest.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::abi {

/// One for a guest, whatever interfaces it uses. A call while another one runs, on whatever thread, is
/// refused: from within an observer, or from a second thread of the guest.
class CallGate {
 public:
  /// Held during a call; empty when another one is running.
  class Pass {
   public:
    explicit Pass(CallGate& gate)
        : gate_(gate.busy_.exchange(true, std::memory_order_acquire) ? nullptr : &gate) {
      if (gate_ != nullptr) start_ = std::chrono::steady_clock::now();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
      if (gate_ == nullptr) return;
      ++gate_->calls_;
      gate_->time_ += std::chrono::steady_clock::now() - start_;
      gate_->busy_.store(false, std::memory_order_release);
    }
    explicit operator bool() const noexcept { return gate_ != nullptr; }

   private:
    CallGate* gate_;
    std::chrono::steady_clock::time_point start_;
  };

  /// Runs `call`, which returns a Status or Expected and may throw; what it throws becomes an error. Nothing
  /// is run, and nothing returned, while another call runs. Errors: those of `call`, whose sentences may
  /// quote a guest's or a file's bytes and are made printable; kUnknown for an exception that should not be.
  template <class Call>
  std::optional<Status> try_run(Call&& call) noexcept {
    const Pass pass(*this);
    if (!pass) return std::nullopt;
    Status status = attempt(call);
    if (status) return status;
    return Error{status.error().code, printable(status.error().message)};
  }

  /// The same. Errors: kRuntimeError while another call runs.
  template <class Call>
  Status run(Call&& call) noexcept {
    const std::optional<Status> status = try_run(call);
    return status ? *status : Status(Error{Errc::kRuntimeError, std::string(kBusy)});
  }

  /// Why a call was not run.
  static constexpr std::string_view kBusy =
      "another call of this guest is still running; one at a time is possible";

  /// Calls that ended, and the time inside them.
  [[nodiscard]] std::uint64_t calls() const noexcept { return calls_; }
  [[nodiscard]] double seconds() const noexcept { return std::chrono::duration<double>(time_).count(); }

 private:
  template <class Call>
  static Status attempt(Call& call) noexcept {
    try {
      return call();
    } catch (const std::bad_alloc&) {
      return Error{Errc::kTooLarge, "the host ran out of memory"};
    } catch (const std::exception& error) {
      return Error{Errc::kUnknown, error.what()};
    } catch (...) {
      return Error{Errc::kUnknown, "the host failed without a reason"};
    }
  }

  std::atomic<bool> busy_{false};
  std::uint64_t calls_ = 0;
  std::chrono::steady_clock::duration time_{0};
};

/// The sentence of the last call of an interface that failed.
class LastError {
 public:
  void set(std::string text) {
    const std::lock_guard lock(mutex_);
    text_ = std::move(text);
  }
  [[nodiscard]] std::string get() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;  // a refused call of a second thread leaves a sentence too
  std::string text_;
};

}  // namespace wasmgrad::abi
