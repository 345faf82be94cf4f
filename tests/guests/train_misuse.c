/* Calls the training import in one wrong way for each mode, given as the first argument; "none" is right.
 *
 * Raw words, no SDK: what is tested here is what the SDK makes impossible. misuse.json holds what each mode
 * must be told. A model "model.pt" that maps f32 [N, 4] to logits [N, 3] must be there. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

__attribute__((import_module("wasmedge-nn-training"), import_name("train"))) void train(
    uint32_t tensors, uint32_t n, int64_t labels, uint32_t device, double learning_rate, uint32_t epochs,
    int64_t batch, uint32_t optimizer, uint32_t loss, uint32_t model_path, uint32_t model_path_len);

enum { SAMPLES = 12, FEATURES = 4, CLASSES = 3 };

/* 32-bit addition of anything longer than 16 bytes wraps around from here. */
static const uint32_t END = 0xfffffff0;

struct record {
  uint32_t data, data_bytes, dims, dims_bytes;
  uint8_t dtype;
  uint32_t name, name_bytes;
};

static uint32_t address(const void* pointer) { return (uint32_t)(uintptr_t)pointer; }

static uint32_t memory_bytes(void) { return (uint32_t)__builtin_wasm_memory_size(0) * 65536u; }

int main(int argc, char** argv) {
  static float inputs[SAMPLES * FEATURES];
  static int64_t targets[SAMPLES];
  static uint32_t dims[20] = {SAMPLES, FEATURES}, target_dims[1] = {SAMPLES};
  static struct record records[4];
  static uint32_t tensors[4];
  for (uint32_t i = 0; i < SAMPLES * FEATURES; ++i) inputs[i] = (float)(i % 5);
  for (uint32_t i = 0; i < SAMPLES; ++i) targets[i] = i % CLASSES;
  for (uint32_t i = 0; i < 4; i += 2) {
    records[i] = (struct record){address(inputs), sizeof inputs, address(dims), 8, 1, address("inputs"), 6};
    records[i + 1] =
        (struct record){address(targets), sizeof targets, address(target_dims), 4, 4, address("targets"), 7};
  }
  for (uint32_t i = 0; i < 4; ++i) tensors[i] = address(&records[i]);
  struct record* first = &records[0];

  uint32_t array = address(tensors), n = 4, device = 0, epochs = 1, optimizer = 0, loss = 1;
  int64_t classes = CLASSES, batch = 4;
  double learning_rate = 1e-3;
  const char* model = "model.pt";
  /* As they are until a mode sets them: those of `model`. */
  uint32_t model_address = 0, model_bytes = UINT32_MAX;

  const char* mode = argc > 1 ? argv[1] : "";
#define MODE(name) else if (strcmp(mode, name) == 0)
  if (strcmp(mode, "none") == 0) {
  }
  MODE("array-past-end") array = memory_bytes() - 8;
  MODE("array-wraps") array = END + 8;
  MODE("record-past-end") tensors[1] = memory_bytes() - 4;
  MODE("record-wraps") tensors[1] = END;
  MODE("data-past-end") first->data = memory_bytes() - 16;
  MODE("data-wraps") first->data = END;
  MODE("data-length-max") first->data_bytes = UINT32_MAX;
  MODE("dims-past-end") first->dims = memory_bytes() - 4;
  MODE("dims-wraps") first->dims = 0xfffffffc;
  MODE("dims-length-not-multiple") first->dims_bytes = 7;
  MODE("dims-length-huge") first->dims_bytes = 1u << 20;
  MODE("rank-too-high") {
    for (uint32_t i = 2; i < 20; ++i) dims[i] = 1;
    first->dims_bytes = 80;
  }
  MODE("rank-zero") first->dims_bytes = 0;
  MODE("dims-product-overflow") {
    for (uint32_t i = 0; i < 4; ++i) dims[i] = UINT32_MAX;
    first->dims_bytes = 16;
  }
  MODE("dims-product-wraps-to-size") {
    /* The product is 2^124, which is 0 in 64 bits: as many bytes as are given. */
    for (uint32_t i = 0; i < 4; ++i) dims[i] = 0x80000000u;
    first->dims_bytes = 16;
    first->data_bytes = 0;
  }
  MODE("dims-disagree") dims[1] = FEATURES + 1;
  MODE("no-samples") {
    static const uint32_t none[2] = {0, FEATURES};
    for (uint32_t i = 0; i < 2; ++i) records[i].dims = address(none), records[i].data_bytes = 0;
  }
  MODE("counts-differ") {
    static const uint32_t fewer[1] = {SAMPLES - 1};
    records[1].dims = address(fewer);
    records[1].data_bytes -= 8;
  }
  MODE("name-past-end") first->name = memory_bytes() - 2;
  MODE("name-wraps") first->name = END, first->name_bytes = 32;
  MODE("dtype-unknown") first->dtype = 9;
  MODE("n-3") n = 3;
  MODE("n-0") n = 0;
  MODE("n-max") n = UINT32_MAX;
  MODE("label-too-large") targets[7] = CLASSES;
  MODE("label-negative") targets[7] = -1;
  MODE("classes-negative") classes = -1;
  MODE("classes-zero") classes = 0;
  MODE("batch-0") batch = 0;
  MODE("batch-negative") batch = -128;
  MODE("epochs-negative") epochs = (uint32_t)-1;
  MODE("learning-rate-nan") learning_rate = __builtin_nan("");
  MODE("learning-rate-infinite") learning_rate = __builtin_inf();
  MODE("learning-rate-negative") learning_rate = -1e-3;
  MODE("optimizer-unknown") optimizer = 17;
  MODE("loss-unknown") loss = 17;
  MODE("device-unknown") device = 1;
  MODE("model-missing") model = "missing.pt";
  MODE("model-parent") model = "../outside.pt";
  MODE("model-hidden-parent") model = "./sub/../../outside.pt";
  MODE("model-absolute") model = "/etc/passwd";
  MODE("model-symlink") model = "escape.pt";
  MODE("model-empty") model = "";
  MODE("model-with-nul") model = "model.pt", model_bytes = 9;
  MODE("model-past-end") model_address = memory_bytes() - 2, model_bytes = 64;
  MODE("model-wraps") model_address = END, model_bytes = 64;
  MODE("model-not-archive") model = "garbage.pt";
  else {
    fprintf(stderr, "unknown mode\n");
    return 64;
  }
#undef MODE
  if (model_address == 0) model_address = address(model);
  if (model_bytes == UINT32_MAX) model_bytes = (uint32_t)strlen(model);

  train(array, n, classes, device, learning_rate, epochs, batch, optimizer, loss, model_address, model_bytes);
  puts("train returned");
  return 0;
}
