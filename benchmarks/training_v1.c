/* What driving one's own training loop costs a guest, measured by itself: `training_v1 MODE`.
 *
 * call      Nanoseconds of a call that does next to nothing, dataset_size.
 * overhead  Nanoseconds of a trainer_step call beyond the training in it, with the model "tiny".
 * loop      Time of single steps by that of trainer_fit over as many batches, with the model "digits". The
 * two take turns; one line a round. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wasmgrad/training_v1.h>

enum { BATCH = 128, STEPS = 20, PIXELS = 28 * 28, ROUNDS = 15 };

static uint8_t images[STEPS * BATCH][PIXELS];
static uint8_t labels[STEPS * BATCH];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The result of a call that must succeed. */
static void check(uint32_t error, const char* what) {
  if (error == WASMGRAD_SUCCESS) return;
  char sentence[512];
  uint32_t size = 0;
  if (wasmgrad_last_error(sentence, sizeof sentence, &size) != WASMGRAD_SUCCESS) size = 0;
  fprintf(stderr, "%s: %.*s\n", what, (int)size, sentence);
  __builtin_trap();
}

static wasmgrad_trainer make_trainer(const char* name, const char* options) {
  wasmgrad_model model;
  wasmgrad_trainer trainer;
  check(wasmgrad_model_load_by_name(name, (uint32_t)strlen(name), WASMGRAD_TARGET_CPU, &model), "model");
  check(wasmgrad_trainer_create(model, options, (uint32_t)strlen(options), &trainer), "trainer");
  return trainer;
}

static void measure_call(void) {
  enum { CALLS = 20000 };
  wasmgrad_dataset dataset;
  uint64_t rows;
  check(wasmgrad_dataset_create(&dataset), "dataset");
  for (int round = 0; round < ROUNDS; ++round) {
    const double start = now();
    for (int call = 0; call < CALLS; ++call) check(wasmgrad_dataset_size(dataset, &rows), "size");
    printf("%.1f\n", (now() - start) / CALLS * 1e9);
  }
}

static void measure_overhead(void) {
  enum { CALLS = 2000 };
  const wasmgrad_trainer trainer = make_trainer("tiny", "{}");
  const float row[4] = {1, 2, 3, 4};
  const uint32_t dims[] = {1, 4};
  const wasmgrad_named_tensor input = {.tensor = {dims, 2, WASMGRAD_TYPE_F32, row, sizeof row}};
  const wasmgrad_named_tensor target = {.tensor = {dims, 1, WASMGRAD_TYPE_U8, labels, 1}};
  wasmgrad_metrics metrics;
  for (int round = 0; round < ROUNDS; ++round) {
    double training = 0;
    const double start = now();
    for (int call = 0; call < CALLS; ++call) {
      check(wasmgrad_trainer_step(trainer, &input, 1, &target, 1, &metrics), "step");
      training += metrics.seconds;
    }
    printf("%.1f\n", (now() - start - training) / CALLS * 1e9);
  }
}

static void measure_loop(void) {
  for (uint32_t i = 0; i < STEPS * BATCH; ++i) {
    labels[i] = (uint8_t)(i * 7 % 10);
    for (uint32_t j = 0; j < PIXELS; ++j) images[i][j] = (uint8_t)(i * 31 + j * 17);
  }
  const char* options = "{\"batch_size\": 128, \"shuffle\": false}";
  const wasmgrad_trainer fitted = make_trainer("digits", options);
  const wasmgrad_trainer stepped = make_trainer("digits", options);

  wasmgrad_dataset dataset;
  const uint32_t all_dims[] = {STEPS * BATCH, 1, 28, 28};
  const wasmgrad_named_tensor all = {.tensor = {all_dims, 4, WASMGRAD_TYPE_U8, images, sizeof images}};
  const wasmgrad_named_tensor all_labels = {.tensor = {all_dims, 1, WASMGRAD_TYPE_U8, labels, sizeof labels}};
  check(wasmgrad_dataset_create(&dataset), "dataset");
  check(wasmgrad_dataset_append(dataset, &all, 1, &all_labels, 1), "rows");

  const uint32_t dims[] = {BATCH, 1, 28, 28};
  for (int round = 0; round <= ROUNDS; ++round) {
    wasmgrad_fit_report report;
    wasmgrad_metrics metrics;
    const double start = now();
    check(wasmgrad_trainer_fit(fitted, dataset, 0, 1, &report), "fit");
    const double between = now();
    for (uint32_t i = 0; i < STEPS; ++i) {
      const wasmgrad_named_tensor input = {
          .tensor = {dims, 4, WASMGRAD_TYPE_U8, images[i * BATCH], BATCH * PIXELS}};
      const wasmgrad_named_tensor target = {.tensor = {dims, 1, WASMGRAD_TYPE_U8, &labels[i * BATCH], BATCH}};
      check(wasmgrad_trainer_step(stepped, &input, 1, &target, 1, &metrics), "step");
    }
    const double end = now();
    if (round > 0) printf("%.4f\n", (end - between) / (between - start)); /* the first warms up */
  }
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "call") == 0) {
    measure_call();
  } else if (argc == 2 && strcmp(argv[1], "overhead") == 0) {
    measure_overhead();
  } else if (argc == 2 && strcmp(argv[1], "loop") == 0) {
    measure_loop();
  } else {
    return 2;
  }
  return 0;
}
