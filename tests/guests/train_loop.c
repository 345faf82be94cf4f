/* A guest that trains for four epochs' worth of steps, in the way that its first argument says: "fit" once,
 * "fits" one by one, "epochs" or "steps" of a loop of its own, which begin where the trainer stands. Whoever
 * writes no more than needed ends with the first call that fails: with exit code 1, or "quietly" with 0
 * (second argument). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasmgrad/training_v1.h"

enum { FEATURES = 8, ROWS = 32768, BATCH = 4, EPOCHS = 4, STEPS = EPOCHS * ROWS / BATCH };

static float inputs[ROWS][FEATURES], targets[ROWS];
static int failure = 1;

static void check(uint32_t code) {
  if (code == WASMGRAD_SUCCESS) return;
  char sentence[512];
  uint32_t bytes = 0;
  if (wasmgrad_last_error(sentence, sizeof sentence, &bytes) != WASMGRAD_SUCCESS) bytes = 0;
  fprintf(stderr, "failed: %.*s\n", (int)bytes, sentence);
  exit(failure);
}

static void make_rows(void) {
  uint32_t state = 7;
  for (int row = 0; row < ROWS; ++row) {
    targets[row] = 0;
    for (int feature = 0; feature < FEATURES; ++feature) {
      state = state * 1664525 + 1013904223;
      inputs[row][feature] = (float)(state >> 8) / (1 << 24) - 0.5f;
      targets[row] += inputs[row][feature] / FEATURES;
    }
  }
}

static wasmgrad_named_tensor named(const uint32_t* dims, const float* data) {
  return (wasmgrad_named_tensor){
      .tensor = {dims, 2, WASMGRAD_TYPE_F32, data, dims[0] * dims[1] * (uint32_t)sizeof(float)}};
}

static wasmgrad_dataset dataset(void) {
  static const uint32_t input_dims[] = {ROWS, FEATURES}, target_dims[] = {ROWS, 1};
  const wasmgrad_named_tensor x = named(input_dims, inputs[0]), y = named(target_dims, targets);
  wasmgrad_dataset made;
  check(wasmgrad_dataset_create(&made));
  check(wasmgrad_dataset_append(made, &x, 1, &y, 1));
  return made;
}

static void step(wasmgrad_trainer trainer, uint32_t number) {
  static const uint32_t input_dims[] = {BATCH, FEATURES}, target_dims[] = {BATCH, 1};
  const uint32_t first = number * BATCH % ROWS;
  const wasmgrad_named_tensor x = named(input_dims, inputs[first]), y = named(target_dims, &targets[first]);
  wasmgrad_metrics metrics;
  check(wasmgrad_trainer_step(trainer, &x, 1, &y, 1, &metrics));
}

int main(int argc, char** argv) {
  const char* way = argc > 1 ? argv[1] : "fit";
  if (argc > 2) failure = 0;
  make_rows();
  static const char options[] =
      "{\"optimizer\": {\"name\": \"adam\", \"learning_rate\": 0.001}, \"loss\": \"mse\", \"batch_size\": 4}";
  wasmgrad_model model;
  wasmgrad_trainer trainer;
  check(wasmgrad_model_load_by_name("model.pt", 8, WASMGRAD_TARGET_CPU, &model));
  check(wasmgrad_trainer_create(model, options, strlen(options), &trainer));
  wasmgrad_progress begin;
  check(wasmgrad_trainer_progress(trainer, &begin));
  printf("begins at epoch %u, step %u\n", (uint32_t)begin.epoch, (uint32_t)begin.step);
  fflush(stdout);
  if (strcmp(way, "steps") == 0) {
    for (uint32_t number = (uint32_t)begin.step; number < STEPS; ++number) step(trainer, number);
    return 0;
  }
  const wasmgrad_dataset data = dataset();
  wasmgrad_fit_report report;
  wasmgrad_metrics metrics;
  if (strcmp(way, "fit") == 0) check(wasmgrad_trainer_fit(trainer, data, 0, EPOCHS, &report));
  for (uint32_t i = 0; i < EPOCHS && strcmp(way, "fits") == 0; ++i) {
    check(wasmgrad_trainer_fit(trainer, data, 0, 1, &report));
  }
  for (uint64_t epoch = begin.epoch; epoch < EPOCHS && strcmp(way, "epochs") == 0; ++epoch) {
    check(wasmgrad_trainer_epoch(trainer, data, &metrics));
  }
  return 0;
}
