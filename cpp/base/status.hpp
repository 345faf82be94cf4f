// Errors as values: a kind, and one sentence for a person.
//
// Nothing in the core throws across a function that can be reached from a guest; whatever may fail returns
// Expected<T> or Status. It must not know where an error ends up (a trap, an exit code, a Python exception).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace wasmgrad {

/// What kind of failure happened. Values are those of the wasi-nn `nn_errno` where it has one (1..9), so that
/// a guest can be told the same number on every engine.
enum class Errc : std::uint32_t {
  kInvalidArgument = 1,       ///< an argument is out of range or contradicts another one
  kInvalidEncoding = 2,       ///< bytes are not in the format they should be in
  kTimeout = 3,               ///< a time limit was reached
  kRuntimeError = 4,          ///< the operation itself failed (I/O, numerics, an engine error)
  kUnsupportedOperation = 5,  ///< well formed, but this build cannot do it
  kTooLarge = 6,              ///< a limit or quota was exceeded
  kNotFound = 7,              ///< a named thing does not exist
  kSecurity = 8,              ///< refused because it would leave the sandbox
  kUnknown = 9,
  kInterrupted = 10,  ///< the owner asked to stop; state is consistent
  kPeerLost = 11,     ///< another process of a training was lost; no guest is told this number
};

/// Stable snake_case name of a kind, as used in JSON events and Python exceptions ("invalid_argument", ...).
std::string_view errc_name(Errc code) noexcept;

/// A failure: its kind and one sentence that says what was wrong, where, and what was expected.
struct Error {
  Errc code = Errc::kUnknown;
  std::string message;

  /// The same error with `where` put in front of its sentence: "train: tensor 0 (train images): ...".
  [[nodiscard]] Error within(std::string_view where) const& {
    return {code, std::string(where) + ": " + message};
  }
};

/// The error of an argument that is not what it must be.
inline Error invalid(std::string message) { return {Errc::kInvalidArgument, std::move(message)}; }

/// Either a T or an Error. Reading the wrong alternative throws std::bad_variant_access: a programming error.
template <class T>
class [[nodiscard]] Expected {
 public:
  Expected(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Expected(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }

 private:
  std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace wasmgrad

// Returns the error of `expression` (a Status or Expected) from the enclosing function, if there is one.
#define WASMGRAD_CHECK(expression)                                                                \
  do {                                                                                            \
    if (auto wasmgrad_status_ = (expression); !wasmgrad_status_) return wasmgrad_status_.error(); \
  } while (false)

#define WASMGRAD_JOIN_(a, b) a##b
#define WASMGRAD_JOIN(a, b) WASMGRAD_JOIN_(a, b)

// `WASMGRAD_ASSIGN(auto x, f())`: x is the value of f(), or its error is returned from the enclosing
// function.
#define WASMGRAD_ASSIGN(target, expression) \
  WASMGRAD_ASSIGN_(target, expression, WASMGRAD_JOIN(wasmgrad_expected_, __LINE__))
#define WASMGRAD_ASSIGN_(target, expression, name) \
  auto name = (expression);                        \
  if (!name) return name.error();                  \
  target = std::move(name).value()
