/* A guest that trains together with those in other processes and says which process it is in: 40 steps of a
 * loop of its own, "step" by step or with "backward" and apply, and an evaluation. "leave": process 1 ends
 * too early. "differ": process 1 evaluates where the others train. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasmgrad/training_v1.h"

enum { FEATURES = 8, ROWS = 70, BATCH = 7, STEPS = 40 };

static float inputs[ROWS][FEATURES], targets[ROWS];

static void check(uint32_t code) {
  if (code == WASMGRAD_SUCCESS) return;
  char sentence[1024];
  uint32_t bytes = 0;
  if (wasmgrad_last_error(sentence, sizeof sentence, &bytes) != WASMGRAD_SUCCESS) bytes = 0;
  fprintf(stderr, "failed: %.*s\n", (int)bytes, sentence);
  exit(code == WASMGRAD_INTERRUPTED ? 130 : 1);
}

static wasmgrad_named_tensor named(const uint32_t* dims, const float* data) {
  return (wasmgrad_named_tensor){
      .tensor = {dims, 2, WASMGRAD_TYPE_F32, data, dims[0] * dims[1] * (uint32_t)sizeof(float)}};
}

static void make_rows(void) {
  uint32_t state = 7;
  for (int row = 0; row < ROWS; ++row) {
    for (int feature = 0; feature < FEATURES; ++feature) {
      state = state * 1664525 + 1013904223;
      inputs[row][feature] = (float)(state >> 8) / (1 << 24) - 0.5f;
      targets[row] += inputs[row][feature] / FEATURES;
    }
  }
}

static wasmgrad_dataset dataset(void) {
  static const uint32_t input_dims[] = {ROWS, FEATURES}, target_dims[] = {ROWS, 1};
  const wasmgrad_named_tensor x = named(input_dims, inputs[0]), y = named(target_dims, targets);
  wasmgrad_dataset made;
  check(wasmgrad_dataset_create(&made));
  check(wasmgrad_dataset_append(made, &x, 1, &y, 1));
  return made;
}

int main(int argc, char** argv) {
  const char* way = argc > 1 ? argv[1] : "step";
  uint32_t rank = 9, size = 9;
  check(wasmgrad_process_group(&rank, &size));
  printf("process %u of %u\n", rank, size);
  make_rows();
  static const char options[] =
      "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.1, \"momentum\": 0.9}, \"loss\": \"mse\"}";
  wasmgrad_model model;
  wasmgrad_trainer trainer;
  wasmgrad_metrics metrics;
  check(wasmgrad_model_load_by_name("model.pt", 8, WASMGRAD_TARGET_CPU, &model));
  check(wasmgrad_trainer_create(model, options, strlen(options), &trainer));
  const wasmgrad_dataset data = dataset();
  static const uint32_t input_dims[] = {BATCH, FEATURES}, target_dims[] = {BATCH, 1};
  for (uint32_t number = 0; number < STEPS; ++number) {
    const uint32_t first = number * BATCH % ROWS;
    const wasmgrad_named_tensor x = named(input_dims, inputs[first]), y = named(target_dims, &targets[first]);
    if (number == 20 && rank == 1 && strcmp(way, "leave") == 0) return 0;
    if (number == 20 && rank == 1 && strcmp(way, "differ") == 0)
      check(wasmgrad_trainer_evaluate(trainer, data, &metrics));
    if (strcmp(way, "backward") == 0) {
      check(wasmgrad_trainer_backward(trainer, &x, 1, &y, 1, &metrics));
      check(wasmgrad_trainer_apply(trainer));
    } else {
      check(wasmgrad_trainer_step(trainer, &x, 1, &y, 1, &metrics));
    }
  }
  check(wasmgrad_trainer_evaluate(trainer, data, &metrics));
  printf("loss %.9f over %u samples\n", metrics.loss, (uint32_t)metrics.samples);
  return 0;
}
