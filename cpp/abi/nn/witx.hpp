// wasi_ephemeral_nn as bytes: names and numbers of its witx definition, as guests of other hosts use them.
//
// The definition is `wasi-nn.witx` of the WebAssembly/wasi-nn repository in its last revision with nine error
// numbers and six tensor types: the one that wasmtime and WasmEdge serve. Tensors are the 20-byte records of
// tensor_records.hpp. docs/wasi-nn.md tells of other revisions.
#pragma once

#include <cstdint>
#include <string_view>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi::nn {

inline constexpr std::string_view kModule = "wasi_ephemeral_nn";

/// nn_errno. Bindings that were generated from the definition do not survive any other number.
enum class Errno : std::uint32_t {
  kSuccess = 0,
  kInvalidArgument = 1,
  kInvalidEncoding = 2,
  kMissingMemory = 3,
  kBusy = 4,
  kRuntimeError = 5,
  kUnsupportedOperation = 6,
  kTooLarge = 7,
  kNotFound = 8,
};

/// graph_encoding, as a guest may give it.
enum class Encoding : std::uint32_t {
  kOpenVino = 0,
  kOnnx = 1,
  kTensorFlow = 2,
  kPyTorch = 3,
  kTensorFlowLite = 4,
  kAutodetect = 5,
};

/// "autodetect" of the C header that WAMR ships, which numbers GGML before it. WasmEdge's GGML has this
/// number; nothing here takes its files, so that detection refuses them.
inline constexpr Encoding kOtherAutodetect{6};

/// execution_target.
enum class Target : std::uint32_t {
  kCpu = 0,
  kGpu = 1,
  kTpu = 2,
  kAuto = 3,  ///< WasmEdge's: the host chooses
};

/// The core's kinds of errors in the definition's fewer ones.
constexpr Errno errno_of(Errc code) noexcept {
  switch (code) {
    case Errc::kInvalidArgument:
      return Errno::kInvalidArgument;
    case Errc::kInvalidEncoding:
      return Errno::kInvalidEncoding;
    case Errc::kUnsupportedOperation:
    case Errc::kSecurity:  // well formed, but not to be run here
      return Errno::kUnsupportedOperation;
    case Errc::kTooLarge:
      return Errno::kTooLarge;
    case Errc::kNotFound:
      return Errno::kNotFound;
    case Errc::kTimeout:
    case Errc::kRuntimeError:
    case Errc::kUnknown:
    case Errc::kInterrupted:
    case Errc::kPeerLost:
      break;
  }
  return Errno::kRuntimeError;
}

}  // namespace wasmgrad::abi::nn
