#include "wasmgrad/sandbox/wasmtime_module.hpp"

#include <algorithm>
#include <cstdint>

#include "wasmgrad/sandbox/instance.hpp"

namespace wasmgrad::sandbox::wasmtime {

namespace {

struct Proposal {
  const char* name;
  void (*Api::*enable)(Config*, bool);
};
// Proposals that stay off: memories, tables and heaps of theirs would pass the limits, or addresses the
// interfaces.
constexpr Proposal kRefusedProposals[] = {
    {"exception handling", &Api::wasmtime_config_wasm_exceptions_set},
    {"typed function references", &Api::wasmtime_config_wasm_function_references_set},
    {"garbage collection", &Api::wasmtime_config_wasm_gc_set},
    {"multiple memories", &Api::wasmtime_config_wasm_multi_memory_set},
    {"64-bit memory", &Api::wasmtime_config_wasm_memory64_set},
    {"threads", &Api::wasmtime_config_wasm_threads_set},
};

// With one of the proposals on, or none.
Owned<Engine> make_engine(const Api& api, bool keeps_images, const Proposal* enabled = nullptr) {
  Config* config = api.wasm_config_new();
  api.wasmtime_config_memory_init_cow_set(config, keeps_images);
  for (const Proposal& proposal : kRefusedProposals) {
    // Garbage collection is defined on top of function references, which precede it.
    const bool below = enabled != nullptr && enabled == &proposal + 1 &&
                       enabled->enable == &Api::wasmtime_config_wasm_gc_set;
    (api.*proposal.enable)(config, enabled == &proposal || below);
  }
  return {api.wasm_engine_new_with_config(config), Deleter{&api}};
}

Status check_memory(const Api& api, const Module& module, const SandboxConfig& config) {
  Vector<ExportType> exports{};
  api.wasmtime_module_exports(&module, &exports);
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < exports.size; ++i) {
    const auto* memory = api.wasm_externtype_as_memorytype_const(api.wasm_exporttype_type(exports.data[i]));
    if (memory != nullptr) most = std::max(most, api.wasmtime_memorytype_minimum(memory));
  }
  api.wasm_exporttype_vec_delete(&exports);
  if (most > config.max_memory_pages) return guest_too_large(config.name, most, config.max_memory_pages);
  return {};
}

}  // namespace

Owned<Engine> make_guest_engine(const Api& api, bool keeps_images) { return make_engine(api, keeps_images); }

Expected<Owned<Module>> compile_module(const Api& api, Engine& engine, std::span<const std::byte> bytes,
                                       const std::string& guest) {
  const auto* code = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const auto own = [&](Failure* failure) { return Owned<Failure>(failure, Deleter{&api}); };
  Module* raw = nullptr;
  const auto failure = own(api.wasmtime_module_new(&engine, code, bytes.size(), &raw));
  Owned<Module> module(raw, Deleter{&api});
  if (!failure) return module;
  for (const Proposal& proposal : kRefusedProposals) {
    const auto wider = make_engine(api, false, &proposal);
    if (!own(api.wasmtime_module_validate(wider.get(), code, bytes.size())))
      return proposal_refused(guest, proposal.name);
  }
  return guest_invalid(guest, reason(api, *failure));
}

Expected<CompiledModule> compile(const Api& api, const SandboxConfig& config) {
  CompiledModule compiled;
  compiled.engine = make_engine(api, !config.max_handles);  // such a file would be one of the guest's
  WASMGRAD_ASSIGN(compiled.module, compile_module(api, *compiled.engine, config.module, config.name));
  WASMGRAD_CHECK(check_memory(api, *compiled.module, config));
  return compiled;
}

}  // namespace wasmgrad::sandbox::wasmtime
