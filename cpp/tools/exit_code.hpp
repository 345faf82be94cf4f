// The exit codes of the command-line tools.
#pragma once

#include <cstdint>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::tools {

inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitError = 3;
/// Another process of a distributed training was lost; EX_TEMPFAIL of sysexits.h: starting anew may help.
inline constexpr int kExitPeerLost = 75;
inline constexpr int kExitTimeLimit = 124;
inline constexpr int kExitInterrupted = 130;

constexpr int exit_code_of(Errc code) noexcept {
  switch (code) {
    case Errc::kInterrupted:
      return kExitInterrupted;
    case Errc::kPeerLost:
      return kExitPeerLost;
    case Errc::kTimeout:
      return kExitTimeLimit;
    default:
      return kExitError;
  }
}

/// A guest's own code is kept where a shell would not take it for a signal; any other failure is 1.
constexpr int exit_code_of_guest(std::uint32_t code) noexcept {
  return code <= 125 ? static_cast<int>(code) : 1;
}

}  // namespace wasmgrad::tools
