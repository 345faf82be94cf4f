/* A guest of a federation's node, with a way to train for each mode given as its first argument: "fit" is
 * right, the others do what a task's guest should not be able to gain by. It reads /data/rows, u32 count and
 * then rows of four f32 features and an f32 class, and trains the model "model" on them. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasmgrad/training_v1.h"

enum { FEATURES = 4, MOST = 4096 };

static float inputs[MOST * FEATURES];
static int64_t classes[MOST];
static uint32_t rows;

static void check(uint32_t code) {
  if (code == WASMGRAD_SUCCESS) return;
  char sentence[512];
  uint32_t bytes = 0;
  if (wasmgrad_last_error(sentence, sizeof sentence, &bytes) != WASMGRAD_SUCCESS) bytes = 0;
  fprintf(stderr, "failed: %.*s\n", (int)bytes, sentence);
  exit(1);
}

static void read_rows(void) {
  FILE* file = fopen("/data/rows", "rb");
  if (file == NULL || fread(&rows, sizeof rows, 1, file) != 1 || rows > MOST) exit(2);
  for (uint32_t i = 0; i < rows; ++i) {
    float label = 0;
    if (fread(inputs + i * FEATURES, sizeof(float), FEATURES, file) != FEATURES) exit(2);
    if (fread(&label, sizeof label, 1, file) != 1) exit(2);
    classes[i] = (int64_t)label;
  }
  fclose(file);
}

static wasmgrad_dataset dataset(int copies) {
  const uint32_t input_dims[] = {rows, FEATURES}, class_dims[] = {rows};
  const wasmgrad_named_tensor x = {
      .tensor = {input_dims, 2, WASMGRAD_TYPE_F32, inputs, rows * FEATURES * (uint32_t)sizeof(float)}};
  const wasmgrad_named_tensor y = {
      .tensor = {class_dims, 1, WASMGRAD_TYPE_I64, classes, rows * (uint32_t)sizeof(int64_t)}};
  wasmgrad_dataset made;
  check(wasmgrad_dataset_create(&made));
  for (int i = 0; i < copies; ++i) check(wasmgrad_dataset_append(made, &x, 1, &y, 1));
  return made;
}

static wasmgrad_trainer trainer_of(wasmgrad_model* model) {
  static const char options[] =
      "{\"optimizer\": {\"name\": \"sgd\", \"learning_rate\": 0.1}, \"batch_size\": 8, \"threads\": 1}";
  wasmgrad_trainer trainer;
  check(wasmgrad_model_load_by_name("model", 5, WASMGRAD_TARGET_CPU, model));
  check(wasmgrad_trainer_create(*model, options, strlen(options), &trainer));
  return trainer;
}

static void fit(wasmgrad_trainer trainer, int copies, uint32_t epochs) {
  wasmgrad_fit_report report;
  check(wasmgrad_trainer_fit(trainer, dataset(copies), 0, epochs, &report));
  check(wasmgrad_run_report("own loss", 8, report.train.loss));
}

/* All parameters become `value`. */
static void fill(wasmgrad_trainer trainer, float value) {
  static float values[1 << 16];
  uint32_t bytes = 0;
  check(wasmgrad_trainer_parameters(trainer, values, sizeof values, &bytes));
  for (uint32_t i = 0; i < bytes / sizeof(float); ++i) values[i] = value;
  check(wasmgrad_trainer_set_parameters(trainer, values, bytes));
}

/* FedProx: batches in the order of the rows, whose gradients are pulled towards the weights that the task
 * began with, as strongly as its configuration says. */
static void fit_proximal(wasmgrad_trainer trainer) {
  enum { BATCH = 8 };
  static float first[1 << 12], present[1 << 12], gradients[1 << 12];
  char text[64] = {0};
  uint32_t bytes = 0;
  check(wasmgrad_run_config("proximal-mu", 11, text, sizeof text - 1, &bytes));
  const float mu = strtof(text, NULL);
  check(wasmgrad_trainer_parameters(trainer, first, sizeof first, &bytes));
  for (uint32_t row = 0; row < rows; row += BATCH) {
    const uint32_t input_dims[] = {BATCH, FEATURES}, class_dims[] = {BATCH};
    const wasmgrad_named_tensor x = {.tensor = {input_dims, 2, WASMGRAD_TYPE_F32, inputs + row * FEATURES,
                                                BATCH * FEATURES * sizeof(float)}};
    const wasmgrad_named_tensor y = {
        .tensor = {class_dims, 1, WASMGRAD_TYPE_I64, classes + row, BATCH * sizeof(int64_t)}};
    wasmgrad_metrics metrics;
    check(wasmgrad_trainer_backward(trainer, &x, 1, &y, 1, &metrics));
    check(wasmgrad_trainer_parameters(trainer, present, sizeof present, &bytes));
    check(wasmgrad_trainer_gradients(trainer, gradients, sizeof gradients, &bytes));
    for (uint32_t i = 0; i < bytes / sizeof(float); ++i) gradients[i] += mu * (present[i] - first[i]);
    check(wasmgrad_trainer_set_gradients(trainer, gradients, bytes));
    check(wasmgrad_trainer_apply(trainer));
  }
}

static void show_config(void) {
  for (const char* const* key = (const char*[]){"round", "rate", "fast", "note", "absent", NULL}; *key;
       ++key) {
    char text[256];
    uint32_t bytes = 0;
    const uint32_t code = wasmgrad_run_config(*key, strlen(*key), text, sizeof text, &bytes);
    printf("%s %u %.*s\n", *key, code, code == WASMGRAD_SUCCESS ? (int)bytes : 0, text);
  }
}

static void read_outside(void) {
  for (const char* const* path = (const char*[]){"/etc/passwd", "/data/../../etc/passwd", "../etc/passwd",
                                                 "/data/outside", "/data/rows.written", NULL};
       *path; ++path) {
    FILE* file = fopen(*path, strstr(*path, "written") ? "wb" : "rb");
    if (file != NULL) {
      printf("opened %s\n", *path);
      exit(9);
    }
  }
}

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "fit";
  const uint32_t epochs = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
  if (strcmp(mode, "config") == 0) return show_config(), 0;
  read_rows();
  if (strcmp(mode, "outside") == 0) read_outside();
  wasmgrad_model model;
  wasmgrad_trainer trainer = trainer_of(&model);
  if (strcmp(mode, "loop") == 0) {
    for (volatile uint32_t turns = 0;;) ++turns;
  } else if (strcmp(mode, "huge") == 0) {
    fit(trainer, 1, epochs);
    fill(trainer, 1e30f);
  } else if (strcmp(mode, "nan") == 0) {
    fit(trainer, 1, epochs);
    fill(trainer, 3e38f); /* a step from here is beyond float32 */
    check(wasmgrad_trainer_set(trainer, "learning_rate", 13, 1.0));
    static float gradients[1 << 16];
    uint32_t bytes = 0;
    check(wasmgrad_trainer_gradients(trainer, gradients, sizeof gradients, &bytes));
    for (uint32_t i = 0; i < bytes / sizeof(float); ++i) gradients[i] = -3e38f;
    check(wasmgrad_trainer_set_gradients(trainer, gradients, bytes));
    check(wasmgrad_trainer_apply(trainer));
  } else if (strcmp(mode, "lie") == 0) {
    fit(trainer, 50, epochs); /* the same rows again and again */
    check(wasmgrad_run_report("num-examples", 12, 1e12));
    check(wasmgrad_run_report("samples", 7, NAN));
  } else if (strcmp(mode, "nothing") == 0) {
    fill(trainer, 0.5f);
  } else if (strcmp(mode, "proximal") == 0) {
    fit_proximal(trainer);
  } else if (strcmp(mode, "own weights") == 0) {
    fit(trainer, 1, epochs);
    check(wasmgrad_trainer_close(trainer)); /* a second one goes on, a second model begins anew */
    check(wasmgrad_model_close(model));
    fit(trainer_of(&model), 1, epochs);
  } else {
    fit(trainer, 1, epochs);
  }
  return 0;
}
