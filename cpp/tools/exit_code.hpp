// The exit codes of the command-line tools.
#pragma once

#include <cstdint>

namespace wasmgrad::tools {

inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitError = 3;
inline constexpr int kExitTimeLimit = 124;
inline constexpr int kExitInterrupted = 130;

/// A guest's own code is kept where a shell would not take it for a signal; any other failure is 1.
constexpr int exit_code_of_guest(std::uint32_t code) noexcept {
  return code <= 125 ? static_cast<int>(code) : 1;
}

}  // namespace wasmgrad::tools
