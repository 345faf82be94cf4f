/* Streams a file through single training steps: `stream_train FILE MODEL`. The file is f32 rows of 4, of any
 * length; a block of it is in memory at a time. Prints how many bytes and steps there were. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wasmgrad/training_v1.h>

enum { ROWS = 65536, FEATURES = 4 };

static float block[ROWS][FEATURES];
static uint8_t classes[ROWS];

static int failed(const char* what) {
  char sentence[512];
  uint32_t size = 0;
  if (wasmgrad_last_error(sentence, sizeof sentence, &size) != WASMGRAD_SUCCESS) size = 0;
  fprintf(stderr, "%s: %.*s\n", what, (int)size, sentence);
  return 1;
}

/* Whole blocks but for the file's end; 0 there. */
static size_t read_block(int file) {
  size_t have = 0;
  while (have < sizeof block) {
    const ssize_t got = read(file, (char*)block + have, sizeof block - have);
    if (got <= 0) break;
    have += (size_t)got;
  }
  return have;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  wasmgrad_model model;
  wasmgrad_trainer trainer;
  if (wasmgrad_model_load_by_name(argv[2], (uint32_t)strlen(argv[2]), WASMGRAD_TARGET_CPU, &model) != 0)
    return failed("model");
  if (wasmgrad_trainer_create(model, "{}", 2, &trainer) != 0) return failed("trainer");
  const int file = open(argv[1], O_RDONLY);
  if (file < 0) return 2;

  uint64_t bytes = 0;
  wasmgrad_metrics metrics = {.step = 0};
  for (size_t got; (got = read_block(file)) > 0; bytes += got) {
    const uint32_t rows = (uint32_t)(got / sizeof block[0]);
    const uint32_t input_dims[] = {rows, FEATURES};
    const wasmgrad_named_tensor input = {
        .tensor = {input_dims, 2, WASMGRAD_TYPE_F32, block, rows * (uint32_t)sizeof block[0]}};
    const wasmgrad_named_tensor target = {.tensor = {input_dims, 1, WASMGRAD_TYPE_U8, classes, rows}};
    if (wasmgrad_trainer_step(trainer, &input, 1, &target, 1, &metrics) != 0) return failed("step");
  }
  printf("%" PRIu64 " bytes in %" PRIu64 " steps\n", bytes, metrics.step);
  return 0;
}
