// One instantiated guest on WasmEdge, with its grants and limits. It must not know what its host functions
// do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad::sandbox {

struct SandboxConfig {
  std::vector<std::byte> module;  ///< wasm bytes
  std::string name;               ///< argv[0] of the guest and its name in errors
  std::vector<std::string> args;  ///< after argv[0]
  std::vector<std::string> env;   ///< "KEY=VALUE"; nothing is inherited
  std::vector<Preopen> preopens;
  std::uint32_t max_memory_pages = 16384;  ///< of 64 KiB
  std::vector<HostFunction> functions;
  bool interpret = false;  ///< interpreter in place of ahead-of-time compilation
  /// Where compiled guests are kept, by content hash and engine version. Empty: compiled anew into a
  /// temporary file.
  std::filesystem::path aot_cache;
};

/// "0.14.1": the WasmEdge library in use.
std::string engine_version();

class Sandbox {
 public:
  /// Loads, validates, compiles and instantiates. Errors: kInvalidEncoding (not wasm, invalid),
  /// kUnsupportedOperation (an import that is not there or a proposal that is off, named), kTooLarge (needs
  /// more memory than allowed), kNotFound (preopen).
  static Expected<Sandbox> create(SandboxConfig config);
  Sandbox(Sandbox&&) noexcept;
  Sandbox& operator=(Sandbox&&) noexcept;
  ~Sandbox();

  /// Runs `_start` and returns the guest's exit code. Errors: a host function's own error when one trapped
  /// the guest, else kRuntimeError with the engine's trap.
  Expected<std::uint32_t> run();

  /// Calls an exported function. The argument types must be those of the export. Errors: kNotFound,
  /// kInvalidArgument, as run().
  Expected<std::vector<Value>> call(const std::string& function, std::span<const Value> arguments);

 private:
  struct State;
  explicit Sandbox(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace wasmgrad::sandbox
