// What a call to the host returns in a C++ guest: a value, or why there is none. Needs no exceptions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "wasmgrad/fail.hpp"
#include "wasmgrad/training_v1.h"

namespace wasmgrad::v1 {

/// Why a call failed.
enum class Errno : std::uint32_t {
  success = WASMGRAD_SUCCESS,
  invalid_argument = WASMGRAD_INVALID_ARGUMENT,
  invalid_encoding = WASMGRAD_INVALID_ENCODING,
  timeout = WASMGRAD_TIMEOUT,
  runtime_error = WASMGRAD_RUNTIME_ERROR,
  unsupported_operation = WASMGRAD_UNSUPPORTED_OPERATION,
  too_large = WASMGRAD_TOO_LARGE,
  not_found = WASMGRAD_NOT_FOUND,
  security = WASMGRAD_SECURITY,
  unknown = WASMGRAD_UNKNOWN,
  interrupted = WASMGRAD_INTERRUPTED,
};

/// The host's sentence behind the last call that failed; empty before the first.
inline std::string last_error() {
  std::uint32_t bytes = 0;
  if (wasmgrad_last_error(nullptr, 0, &bytes) != WASMGRAD_SUCCESS) return {};
  std::string sentence(bytes, '\0');
  if (wasmgrad_last_error(sentence.data(), bytes, &bytes) != WASMGRAD_SUCCESS) return {};
  return sentence;
}

/// A failure. Its sentence stays with the host until it is asked for: ask before another call fails.
class [[nodiscard]] Error {
 public:
  constexpr explicit Error(Errno code) noexcept : code_(code) {}

  [[nodiscard]] constexpr Errno code() const noexcept { return code_; }
  [[nodiscard]] std::string message() const { return last_error(); }
  /// Ends the guest with the host's sentence: with kExitInterrupted when the owner asked to stop, as nothing
  /// is wrong then, else with kExitFailure.
  [[noreturn]] void exit() const {
    if (code_ == Errno::interrupted) interrupt(message().c_str());
    fail("%s", message().c_str());
  }

 private:
  Errno code_;
};

/// A value of type T, or an Error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)), error_(Errno::success) {}  // NOLINT: a value is a result
  Result(Error error) : error_(error) {}                                 // NOLINT: so is an error

  [[nodiscard]] explicit operator bool() const noexcept { return value_.has_value(); }
  /// The owner asked to stop, or allows no more epochs.
  [[nodiscard]] bool interrupted() const noexcept { return error_.code() == Errno::interrupted; }
  /// Only of a result without a value.
  [[nodiscard]] Error error() const noexcept { return error_; }

  /// The value. Without one, the guest ends as Error::exit() does.
  [[nodiscard]] T& value() & {
    need();
    return *value_;
  }
  [[nodiscard]] const T& value() const& {
    need();
    return *value_;
  }
  [[nodiscard]] T value() && {
    need();
    return std::move(*value_);
  }

 private:
  void need() const {
    if (!value_) error_.exit();
  }

  std::optional<T> value_;
  Error error_;
};

/// Nothing, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() : error_(Errno::success) {}
  Result(Error error) : error_(error) {}  // NOLINT: an error is a result

  [[nodiscard]] explicit operator bool() const noexcept { return error_.code() == Errno::success; }
  [[nodiscard]] bool interrupted() const noexcept { return error_.code() == Errno::interrupted; }
  [[nodiscard]] Error error() const noexcept { return error_; }

  /// Ends the guest as Error::exit() does unless the call succeeded.
  void value() const {
    if (!*this) error_.exit();
  }

 private:
  Error error_;
};

}  // namespace wasmgrad::v1
