// One instantiated guest on one of the engines, with its grants and limits. It must not know what its host
// functions do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/component_function.hpp"
#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/engine_kind.hpp"

namespace wasmgrad::sandbox {

struct SandboxConfig {
  EngineKind engine = EngineKind::kWasmEdge;
  /// The shared library with wasmtime's C API, for that engine. Empty: the one that the loader finds.
  std::filesystem::path wasmtime_library;
  std::vector<std::byte> module;  ///< wasm bytes: a module, or a component, which only wasmtime runs
  std::string name;               ///< argv[0] of the guest and its name in errors
  std::vector<std::string> args;  ///< after argv[0]
  std::vector<std::string> env;   ///< "KEY=VALUE"; nothing is inherited
  std::vector<Preopen> preopens;
  std::uint32_t max_memory_pages = 16384;  ///< of 64 KiB
  /// Files that guest code may have open at once, its directories not counted. It is kept by this process's
  /// limit on file descriptors, for a process that runs nothing else. None: not limited.
  std::optional<std::uint32_t> max_handles;
  std::vector<HostFunction> functions;
  ComponentImports component_imports;  ///< in place of `functions`, for a guest that is a component
  /// For a module of pure computation: it may import nothing, and may use relaxed SIMD.
  bool compute_only = false;
  bool interpret = false;  ///< interpreter in place of ahead-of-time compilation; WasmEdge has one
  /// Where compiled guests are kept, by content hash and engine version. Empty: compiled anew into a
  /// temporary file.
  std::filesystem::path aot_cache;
};

/// "0.14.1": the WasmEdge library in use.
std::string engine_version();

class Instance;
struct Signature;

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

  /// Whether `function` is exported with this signature. Errors: kInvalidEncoding, naming what was found.
  [[nodiscard]] Status check_export(const std::string& function, const std::vector<ValueType>& parameters,
                                    const std::vector<ValueType>& results) const;

  /// The memory that the guest exports as "memory"; of 0 bytes when it exports none. Valid until the guest
  /// runs again.
  [[nodiscard]] GuestMemory memory() const;

 private:
  Sandbox(std::string name, std::unique_ptr<Instance> instance);
  [[nodiscard]] Expected<Signature> check_call(const std::string& function, std::size_t arguments) const;
  std::string name_;
  std::unique_ptr<Instance> instance_;
};

}  // namespace wasmgrad::sandbox
