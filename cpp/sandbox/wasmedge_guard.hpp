// Stands between a guest and WasmEdge's WASI where a guest has read-only directories. Private to sandbox/.
#pragma once

#include <string_view>
#include <vector>

#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/sandbox/engine.hpp"
#include "wasmgrad/sandbox/read_only_files.hpp"

namespace wasmgrad::sandbox {

/// The engine's functions find a guest's memory by who calls them. Those that the guest's calls are passed on
/// to are therefore called from a small module that has the guest's memory, and exists once the guest does: a
/// start function of the guest's finds them not there yet.
class WasmEdgeGuard {
 public:
  /// Where the guest imports the guarded functions from, and the name under which it has to be registered.
  static constexpr std::string_view kModule = "wasmgrad:guarded-wasi";
  static constexpr std::string_view kGuest = "wasmgrad:guest";

  /// `store` has the engine's WASI, with its directories. It, the executor and the configuration outlive
  /// this.
  WasmEdgeGuard(const WasmEdge_ConfigureContext* configure, WasmEdge_ExecutorContext* executor,
                WasmEdge_StoreContext* store)
      : configure_(configure), executor_(executor), store_(store) {}

  /// Finds the read-only directories. To be called first.
  Status find_directories();
  /// The guarded functions, for the guest's store. They refer to this.
  std::vector<HostFunction> functions();
  /// Once the guest, which exports its memory as "memory", has been registered.
  Status connect();

 private:
  Expected<std::uint32_t> call(std::size_t index, std::span<const Value> arguments);

  const WasmEdge_ConfigureContext* configure_;
  WasmEdge_ExecutorContext* executor_;
  WasmEdge_StoreContext* store_;
  ReadOnlyFiles files_;
  ModuleInstance callers_;
};

}  // namespace wasmgrad::sandbox
