// What the plugin wasi_nn.cpp takes from the plugin that has it.
#pragma once

#include <wasmedge/wasmedge.h>

/// The module `wasi_ephemeral_nn`, or null. It belongs to the caller.
extern "C" WASMEDGE_CAPI_PLUGIN_EXPORT WasmEdge_ModuleInstanceContext* wasmgrad_create_wasi_nn(void);
