// One instantiated guest of one engine: what Sandbox is made of. Private to sandbox/.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"
#include "wasmgrad/sandbox/signature.hpp"

namespace wasmgrad::sandbox {

/// Its functions are called one after the other.
class Instance {
 public:
  Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  virtual ~Instance() = default;

  /// As Sandbox::run().
  virtual Expected<std::uint32_t> run() = 0;
  /// As Sandbox::call(). `function` has been found to take `arguments`.
  virtual Expected<std::vector<Value>> call(const std::string& function, const Signature& signature,
                                            std::span<const Value> arguments) = 0;
  /// None when no function of this name is exported.
  [[nodiscard]] virtual std::optional<Signature> find(const std::string& function) const = 0;
  /// As Sandbox::memory().
  [[nodiscard]] virtual GuestMemory memory() const = 0;
};

/// The engines. `config` has been checked for what both of them need.
Expected<std::unique_ptr<Instance>> make_wasmedge_instance(SandboxConfig config);
Expected<std::unique_ptr<Instance>> make_wasmtime_instance(SandboxConfig config);
/// A guest that is a component, on wasmtime.
Expected<std::unique_ptr<Instance>> make_component_instance(SandboxConfig config);

/// The errors that both engines have, in the same words.
Error guest_too_large(const std::string& guest, std::uint64_t pages, std::uint32_t max_pages);
Error cannot_grant(const Preopen& preopen);
Error import_refused(const std::string& guest, const std::string& import, const std::string& why);
Error proposal_refused(const std::string& guest, const std::string& proposal);
Error guest_invalid(const std::string& guest, const std::string& reason);
Error not_exported(const std::string& guest, const std::string& function);
Error guest_trapped(const std::string& guest, const std::string& reason);

inline constexpr std::string_view kWasiModule = "wasi_snapshot_preview1";

}  // namespace wasmgrad::sandbox
