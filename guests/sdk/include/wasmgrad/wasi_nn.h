/* wasi_ephemeral_nn as a C guest sees it: inference with models that live on the host.
 *
 * Plain C11 for wasm32, no library. These are the imports of the wasi-nn witx definition, which other hosts
 * serve too (docs/wasi-nn.md): a guest that uses the first part only runs there unchanged.
 *
 * - The result is a WASI_NN errno. Nothing traps here, and what a call cannot do it has not begun: only a
 * compute that fails leaves a context without outputs.
 * - Everything that the guest passes is copied during the call.
 * - Handles are never used again. The definition has no way to close them; WasmEdge's is the second part. */
#ifndef WASMGRAD_WASI_NN_H
#define WASMGRAD_WASI_NN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WASI_NN_MODULE "wasi_ephemeral_nn"

typedef enum wasi_nn_errno {
  WASI_NN_SUCCESS = 0,
  WASI_NN_INVALID_ARGUMENT = 1,      /* out of range, no such handle, or calls in the wrong order */
  WASI_NN_INVALID_ENCODING = 2,      /* bytes are not in the format they should be in, or it is not served */
  WASI_NN_MISSING_MEMORY = 3,        /* the guest has no memory */
  WASI_NN_BUSY = 4,                  /* another call of the guest is running */
  WASI_NN_RUNTIME_ERROR = 5,         /* the model itself failed */
  WASI_NN_UNSUPPORTED_OPERATION = 6, /* well formed, but this host will not do it */
  WASI_NN_TOO_LARGE = 7,             /* a buffer is too small, or a limit of the owner would be exceeded */
  WASI_NN_NOT_FOUND = 8
} wasi_nn_errno;

typedef enum wasi_nn_tensor_type {
  WASI_NN_F16 = 0,
  WASI_NN_F32 = 1,
  WASI_NN_F64 = 2,
  WASI_NN_U8 = 3,
  WASI_NN_I32 = 4,
  WASI_NN_I64 = 5
} wasi_nn_tensor_type;

/* This host serves PYTORCH, and AUTODETECT for the same and for compiled graph modules. */
typedef enum wasi_nn_graph_encoding {
  WASI_NN_OPENVINO = 0,
  WASI_NN_ONNX = 1,
  WASI_NN_TENSORFLOW = 2,
  WASI_NN_PYTORCH = 3,
  WASI_NN_TENSORFLOWLITE = 4,
  WASI_NN_AUTODETECT = 5
} wasi_nn_graph_encoding;

typedef enum wasi_nn_execution_target {
  WASI_NN_CPU = 0,
  WASI_NN_GPU = 1, /* not here */
  WASI_NN_TPU = 2  /* not here */
} wasi_nn_execution_target;

typedef uint32_t wasi_nn_graph;
typedef uint32_t wasi_nn_context;

/* A part of a graph's file. A PyTorch model has one part; a compiled graph module one, or two when its
 * weights are in a file of their own. */
typedef struct wasi_nn_builder {
  const void* data;
  uint32_t bytes;
} wasi_nn_builder;

/* Elements are dense and row-major. */
typedef struct wasi_nn_tensor {
  const uint32_t* dims;
  uint32_t rank;
  uint8_t type; /* wasi_nn_tensor_type */
  const void* data;
  uint32_t data_bytes;
} wasi_nn_tensor;

#define WASI_NN_IMPORT(name) __attribute__((import_module(WASI_NN_MODULE), import_name(name)))

/* ---- The definition ---- */

WASI_NN_IMPORT("load")
uint32_t wasi_nn_load(const wasi_nn_builder* builders, uint32_t count, uint32_t encoding, uint32_t target,
                      wasi_nn_graph* graph);

/* The model that the owner granted under this name. */
WASI_NN_IMPORT("load_by_name")
uint32_t wasi_nn_load_by_name(const char* name, uint32_t name_bytes, wasi_nn_graph* graph);

WASI_NN_IMPORT("init_execution_context")
uint32_t wasi_nn_init_execution_context(wasi_nn_graph graph, wasi_nn_context* context);

/* An input stays set until it is set again. */
WASI_NN_IMPORT("set_input")
uint32_t wasi_nn_set_input(wasi_nn_context context, uint32_t index, const wasi_nn_tensor* tensor);

WASI_NN_IMPORT("compute") uint32_t wasi_nn_compute(wasi_nn_context context);

/* The elements of an output, and how many bytes they are. */
WASI_NN_IMPORT("get_output")
uint32_t wasi_nn_get_output(wasi_nn_context context, uint32_t index, void* buffer, uint32_t buffer_bytes,
                            uint32_t* written);

/* ---- What WasmEdge has besides ---- */

/* `config` is empty or {}: the models of this host have no configuration. */
WASI_NN_IMPORT("load_by_name_with_config")
uint32_t wasi_nn_load_by_name_with_config(const char* name, uint32_t name_bytes, const char* config,
                                          uint32_t config_bytes, wasi_nn_graph* graph);

/* Contexts of the graph go on working. */
WASI_NN_IMPORT("unload") uint32_t wasi_nn_unload(wasi_nn_graph graph);

WASI_NN_IMPORT("finalize_execution_context")
uint32_t wasi_nn_finalize_execution_context(wasi_nn_context context);

#undef WASI_NN_IMPORT

#ifdef __wasm32__
#ifdef __cplusplus
#define WASI_NN_LAYOUT_ASSERT(condition) static_assert(condition, #condition)
#else
#define WASI_NN_LAYOUT_ASSERT(condition) _Static_assert(condition, #condition)
#endif
WASI_NN_LAYOUT_ASSERT(sizeof(wasi_nn_builder) == 8);
WASI_NN_LAYOUT_ASSERT(offsetof(wasi_nn_tensor, rank) == 4);
WASI_NN_LAYOUT_ASSERT(offsetof(wasi_nn_tensor, type) == 8);
WASI_NN_LAYOUT_ASSERT(offsetof(wasi_nn_tensor, data) == 12);
WASI_NN_LAYOUT_ASSERT(offsetof(wasi_nn_tensor, data_bytes) == 16);
WASI_NN_LAYOUT_ASSERT(sizeof(wasi_nn_tensor) == 20);
#undef WASI_NN_LAYOUT_ASSERT
#endif

#ifdef __cplusplus
}
#endif

#endif
