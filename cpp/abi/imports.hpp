// Member functions as host functions whose one result is an errno: what both interfaces of handles share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "wasmgrad/abi/call_gate.hpp"
#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi {

namespace detail {

template <class T>
constexpr ValueType value_type() {
  if constexpr (std::is_same_v<T, std::uint32_t>) return ValueType::kI32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return ValueType::kI64;
  if constexpr (std::is_same_v<T, float>) return ValueType::kF32;
  if constexpr (std::is_same_v<T, double>) return ValueType::kF64;
}

template <class T>
T argument(const Value& value) {
  if constexpr (std::is_same_v<T, std::uint32_t>) return value.i32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return value.i64;
  if constexpr (std::is_same_v<T, float>) return value.f32;
  if constexpr (std::is_same_v<T, double>) return value.f64;
}

}  // namespace detail

/// An interface's numbers for what went wrong.
struct Errnos {
  std::uint32_t (*of)(Errc) noexcept;
  std::uint32_t missing_memory;  ///< the guest has no memory
  std::uint32_t busy;            ///< another call of the guest is running
};

/// `module`.`name`, whose call is object.*method(memory, arguments...) behind the gate: 0 for success, else
/// the error's number, and its sentence in `last_error`. It never traps. Everything referred to outlives the
/// function.
template <class Object, class... Arguments>
HostFunction errno_import(std::string_view module, std::string_view name, const Errnos& errnos,
                          CallGate& gate, LastError& last_error, Object& object,
                          Status (Object::*method)(const GuestMemory&, Arguments...)) {
  HostFunction function;
  function.module = module;
  function.name = name;
  function.parameters = {detail::value_type<Arguments>()...};
  function.results = {ValueType::kI32};
  function.call = [name = std::string(name), errnos, &gate, &last_error, &object, method](
                      GuestMemory memory, std::span<const Value> values, std::span<Value> results) {
    const auto fail = [&](std::uint32_t number, std::string_view sentence) {
      results[0].i32 = number;
      last_error.set(name + ": " + std::string(sentence));
      return Status();
    };
    if (memory.size() == 0) return fail(errnos.missing_memory, "the guest has no memory");
    const auto call = [&]<std::size_t... I>(std::index_sequence<I...>) {
      return (object.*method)(memory, detail::argument<Arguments>(values[I])...);
    };
    const auto status = gate.try_run([&] { return call(std::index_sequence_for<Arguments...>()); });
    if (!status) return fail(errnos.busy, CallGate::kBusy);
    if (!*status) return fail(errnos.of(status->error().code), status->error().message);
    results[0].i32 = 0;
    return Status();
  };
  return function;
}

}  // namespace wasmgrad::abi
