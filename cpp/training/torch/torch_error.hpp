// Turns what torch throws into errors of the core. Without torch in the header; used at every public entry of
// training/.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <type_traits>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

/// The exception being handled, as an error in one sentence: kTooLarge when memory ran out, else
/// kRuntimeError.
Error current_error(std::string_view where);

/// The same where the fault is the caller's model or data: kTooLarge when memory ran out, else
/// kInvalidArgument.
Error current_refusal(std::string_view where);

/// Calls `function`, which returns an Expected or a Status; an exception becomes its error.
template <class Function>
auto guarded(std::string_view where, Function&& function) -> std::invoke_result_t<Function> {
  try {
    return function();
  } catch (...) {
    return current_error(where);
  }
}

}  // namespace wasmgrad::training
