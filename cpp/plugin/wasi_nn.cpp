// A plugin that is called `wasi_nn`: WasmEdge serves the module `wasi_ephemeral_nn` from a plugin of that
// name only, and puts a placeholder there when none is. All it serves is in the plugin beside it.
#include <iterator>

#include "wasmgrad/plugin/inference.hpp"

namespace {

WasmEdge_ModuleInstanceContext* create_module(const WasmEdge_ModuleDescriptor* /*descriptor*/) {
  return wasmgrad_create_wasi_nn();
}

// The program checks that it knows an option; the values are read where they are needed.
WasmEdge_String preload{};

WasmEdge_ModuleDescriptor modules[] = {
    {"wasi_nn", "inference with PyTorch models and graph modules", create_module}};

WasmEdge_ProgramOption options[] = {
    {"nn-preload",
     "A model by name: NAME:ENCODING:TARGET:FILE, with ENCODING PyTorch or Autodetect and TARGET CPU or AUTO",
     WasmEdge_ProgramOptionType_String, &preload, &preload},
};

const WasmEdge_PluginDescriptor descriptor = {
    "wasi_nn",
    "wasi-nn by wasmgrad",
    WasmEdge_Plugin_CurrentAPIVersion,
    {WASMGRAD_VERSION_MAJOR, WASMGRAD_VERSION_MINOR, WASMGRAD_VERSION_PATCH, 0},
    std::size(modules),
    std::size(options),
    modules,
    options,
};

}  // namespace

extern "C" WASMEDGE_CAPI_PLUGIN_EXPORT const WasmEdge_PluginDescriptor* WasmEdge_Plugin_GetDescriptor(void) {
  return &descriptor;
}
