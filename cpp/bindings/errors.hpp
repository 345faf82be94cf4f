// Core errors as Python exceptions: the only place where an Error turns into something thrown.
#pragma once

#include <exception>
#include <utility>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::bindings {

/// Thrown inside the bindings only; the translator raises the class of wasmgrad._errors that stands for its
/// kind.
struct Raised : std::exception {
  explicit Raised(Error raised) : error(std::move(raised)) {}
  [[nodiscard]] const char* what() const noexcept override { return error.message.c_str(); }

  Error error;
};

/// The value of `result`, or its error raised.
template <class T>
T value_of(Expected<T> result) {
  if (!result) throw Raised{result.error()};
  return std::move(result).value();
}

/// Raises the error of `status`, if it has one.
void check(const Status& status);

/// Called once, when the module is made.
void register_errors();

}  // namespace wasmgrad::bindings
