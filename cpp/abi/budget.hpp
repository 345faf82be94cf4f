// What one guest may make the host hold: bytes that are charged when something is made and released when it
// goes.
//
// It must not know what the bytes are for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi {

/// Not thread-safe: HostCalls lets one call of a guest in at a time.
class Budget {
  struct Account {
    std::uint64_t limit;
    std::uint64_t used = 0;
    std::uint64_t peak = 0;
  };

 public:
  explicit Budget(std::uint64_t limit) : account_(std::make_shared<Account>(Account{limit})) {}

  /// Bytes in use, until the charge is released or goes. Empty when default-constructed.
  class Charge {
   public:
    Charge() = default;
    Charge(Charge&& other) noexcept
        : account_(std::move(other.account_)), bytes_(std::exchange(other.bytes_, 0)) {}
    Charge& operator=(Charge&& other) noexcept {
      if (this != &other) {
        release();
        account_ = std::move(other.account_);
        bytes_ = std::exchange(other.bytes_, 0);
      }
      return *this;
    }
    ~Charge() { release(); }

    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

    /// Takes over the bytes of `other`, of the same budget.
    void add(Charge other) noexcept {
      if (!account_) account_ = other.account_;
      bytes_ += std::exchange(other.bytes_, 0);
    }

    void release() noexcept {
      if (account_) account_->used -= bytes_;
      account_.reset();
      bytes_ = 0;
    }

   private:
    friend class Budget;
    std::shared_ptr<Account> account_;
    std::uint64_t bytes_ = 0;
  };

  /// `what` names the bytes in the error ("the dataset's rows"). Errors: kTooLarge beyond the limit.
  [[nodiscard]] Expected<Charge> charge(std::uint64_t bytes, std::string_view what) const {
    if (bytes > available()) {
      return Error{Errc::kTooLarge, std::string(what) + " would take " + std::to_string(bytes) + " bytes; " +
                                        std::to_string(available()) + " of the " +
                                        std::to_string(account_->limit) + " that the owner allows are left"};
    }
    account_->used += bytes;
    account_->peak = std::max(account_->peak, account_->used);
    Charge charge;
    charge.account_ = account_;
    charge.bytes_ = bytes;
    return charge;
  }

  [[nodiscard]] std::uint64_t available() const noexcept { return account_->limit - account_->used; }
  [[nodiscard]] std::uint64_t used() const noexcept { return account_->used; }
  /// Most that was in use at once.
  [[nodiscard]] std::uint64_t peak() const noexcept { return account_->peak; }

 private:
  std::shared_ptr<Account> account_;  // charges may outlive the budget
};

}  // namespace wasmgrad::abi
