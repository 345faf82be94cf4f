// Running out of memory as an error, where nothing else throws.
#pragma once

#include <new>
#include <string>
#include <string_view>
#include <type_traits>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

/// Calls `function`, which returns an Expected or a Status; kTooLarge when memory ran out.
template <class Function>
auto within_memory(std::string_view where, Function&& function) -> std::invoke_result_t<Function> {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return Error{Errc::kTooLarge, std::string(where) + ": the host has not enough memory"};
  }
}

}  // namespace wasmgrad
