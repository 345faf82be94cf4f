/* Two inputs, two outputs, by name: with the imports and records as the C header that WAMR ships declares
 * them, so that a change of our own header cannot hide here.
 *
 * Usage: nn_c_header.wasm NAME. The model maps f32 features [2, 2] and i64 indices [2] to f32 [2] and i64
 * [2]. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef enum { success = 0, invalid_argument, invalid_encoding, missing_memory, busy, runtime_error } error;
typedef enum { fp16 = 0, fp32, fp64, u8, i32, i64 } tensor_type;
typedef uint32_t graph;
typedef uint32_t graph_execution_context;

typedef struct {
  uint32_t* buf;
  uint32_t size;
} tensor_dimensions;

typedef struct {
  uint8_t* buf;
  uint32_t size;
} tensor_data;

typedef struct {
  tensor_dimensions dimensions;
  uint8_t type;
  uint8_t pad[3];
  tensor_data data;
} tensor;

#define IMPORT(name) __attribute__((import_module("wasi_ephemeral_nn"), import_name(name)))
IMPORT("load_by_name") error load_by_name(const char* name, uint32_t name_len, graph* g);
IMPORT("init_execution_context") error init_execution_context(graph g, graph_execution_context* ctx);
IMPORT("set_input") error set_input(graph_execution_context ctx, uint32_t index, tensor* input);
IMPORT("compute") error compute(graph_execution_context ctx);
IMPORT("get_output")
error get_output(graph_execution_context ctx, uint32_t index, uint8_t* out, uint32_t out_max_size,
                 uint32_t* out_size);

static int failed(const char* call, error status) {
  if (status != success) printf("%s: error %d\n", call, (int)status);
  return status != success;
}

int main(int argc, char** argv) {
  const char* name = argc > 1 ? argv[1] : "lookup";
  float features[] = {1, 2, 3, 4}, sums[2];
  int64_t indices[] = {3, 1}, tripled[2];
  uint32_t features_dims[] = {2, 2}, indices_dims[] = {2}, size = 0;
  graph g;
  graph_execution_context ctx;
  tensor inputs[2];
  /* The padding is whatever it is. */
  memset(inputs, 0xa5, sizeof inputs);
  inputs[0].dimensions = (tensor_dimensions){features_dims, 2};
  inputs[0].type = fp32;
  inputs[0].data = (tensor_data){(uint8_t*)features, sizeof features};
  inputs[1].dimensions = (tensor_dimensions){indices_dims, 1};
  inputs[1].type = i64;
  inputs[1].data = (tensor_data){(uint8_t*)indices, sizeof indices};
  if (failed("load_by_name", load_by_name(name, (uint32_t)strlen(name), &g))) return 1;
  if (failed("init_execution_context", init_execution_context(g, &ctx))) return 1;
  for (uint32_t i = 0; i < 2; ++i) {
    if (failed("set_input", set_input(ctx, i, &inputs[i]))) return 1;
  }
  if (failed("compute", compute(ctx))) return 1;
  if (failed("get_output", get_output(ctx, 0, (uint8_t*)sums, sizeof sums, &size)) || size != 8) return 1;
  if (failed("get_output", get_output(ctx, 1, (uint8_t*)tripled, sizeof tripled, &size)) || size != 16)
    return 1;
  printf("%g %g %lld %lld\n", (double)sums[0], (double)sums[1], (long long)tripled[0], (long long)tripled[1]);
  return 0;
}
