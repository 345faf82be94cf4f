#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

std::string_view errc_name(Errc code) noexcept {
  switch (code) {
    case Errc::kInvalidArgument:
      return "invalid_argument";
    case Errc::kInvalidEncoding:
      return "invalid_encoding";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kRuntimeError:
      return "runtime_error";
    case Errc::kUnsupportedOperation:
      return "unsupported_operation";
    case Errc::kTooLarge:
      return "too_large";
    case Errc::kNotFound:
      return "not_found";
    case Errc::kSecurity:
      return "security";
    case Errc::kInterrupted:
      return "interrupted";
    case Errc::kPeerLost:
      return "peer_lost";
    case Errc::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace wasmgrad
