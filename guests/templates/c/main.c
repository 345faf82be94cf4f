/* A complete training guest. It learns the mean of eight numbers: replace `make_points` by your own data.
 *
 * The model it trains maps inputs [N, 8] to outputs [N, 1]: `wasmgrad model linear-regression -o model.pt`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasmgrad/training_v1.h"

enum { FEATURES = 8, BLOCK = 256 };

/* Ends the guest with the host's sentence unless the call succeeded. That its owner asked to stop is no
 * failure: his checkpoint has every step. */
static void check(uint32_t code) {
  if (code == WASMGRAD_SUCCESS) return;
  char sentence[1024];
  uint32_t bytes = 0;
  if (wasmgrad_last_error(sentence, sizeof sentence, &bytes) != WASMGRAD_SUCCESS) bytes = 0;
  const int interrupted = code == WASMGRAD_INTERRUPTED;
  fprintf(stderr, "%s%.*s\n", interrupted ? "" : "error: ", (int)bytes, sentence);
  exit(interrupted ? 130 : 1);
}

/* Uniform in [0, 1). */
static double uniform(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Targets are the mean of the features plus a little noise. Blocks of them reach the host through one small
 * buffer; `count` is a multiple of BLOCK. */
static wasmgrad_dataset make_points(uint32_t count, uint64_t* random) {
  static float inputs[BLOCK][FEATURES], targets[BLOCK];
  static const uint32_t input_dims[] = {BLOCK, FEATURES}, target_dims[] = {BLOCK, 1};
  const wasmgrad_named_tensor input = {.tensor = {input_dims, 2, WASMGRAD_TYPE_F32, inputs, sizeof inputs}};
  const wasmgrad_named_tensor target = {
      .tensor = {target_dims, 2, WASMGRAD_TYPE_F32, targets, sizeof targets}};
  wasmgrad_dataset points;
  check(wasmgrad_dataset_create(&points));
  for (uint32_t done = 0; done < count; done += BLOCK) {
    for (uint32_t i = 0; i < BLOCK; ++i) {
      double sum = 0;
      for (uint32_t feature = 0; feature < FEATURES; ++feature) {
        const double x = 2 * uniform(random) - 1;
        inputs[i][feature] = (float)x;
        sum += x;
      }
      targets[i] = (float)(sum / FEATURES + 0.1 * uniform(random) - 0.05);
    }
    check(wasmgrad_dataset_append(points, &input, 1, &target, 1));
  }
  return points;
}

/* Writes the trained model where the owner granted a directory, whole or not at all. */
static void save(wasmgrad_model model, const char* path, const char* temporary) {
  uint32_t bytes = 0;
  check(wasmgrad_model_export(model, WASMGRAD_ENCODING_TORCHSCRIPT, NULL, 0, &bytes));
  void* file = malloc(bytes);
  if (file == NULL) {
    fprintf(stderr, "error: there is no memory for a model of %u bytes\n", (unsigned)bytes);
    exit(1);
  }
  check(wasmgrad_model_export(model, WASMGRAD_ENCODING_TORCHSCRIPT, file, bytes, &bytes));
  FILE* out = fopen(temporary, "wb");
  int written = out != NULL && fwrite(file, 1, bytes, out) == bytes;
  if (out != NULL) written = fclose(out) == 0 && written;
  free(file);
  if (written && rename(temporary, path) == 0) {
    printf("saved %s (%u bytes)\n", path, (unsigned)bytes);
  } else {
    fprintf(stderr, "not saved here: no directory to write %s to was granted (--dir .:.)\n", path);
  }
}

int main(void) {
  static const char name[] = "model.pt";
  static const char options[] =
      "{\"optimizer\": {\"name\": \"adamw\", \"learning_rate\": 0.01}, \"loss\": \"mse\", \"batch_size\": "
      "64}";
  uint64_t random = 1;
  const wasmgrad_dataset training = make_points(2048, &random);
  const wasmgrad_dataset test = make_points(512, &random);

  wasmgrad_model model;
  check(wasmgrad_model_load_by_name(name, strlen(name), WASMGRAD_TARGET_CPU, &model));
  wasmgrad_trainer trainer;
  check(wasmgrad_trainer_create(model, options, strlen(options), &trainer));
  /* A checkpoint may have been resumed, and the owner may want another number of epochs. */
  wasmgrad_progress begin;
  check(wasmgrad_trainer_progress(trainer, &begin));
  const uint32_t epochs = begin.owner_epochs != 0 ? begin.owner_epochs : 10;
  for (uint32_t epoch = (uint32_t)begin.epoch + 1; epoch <= epochs; ++epoch) {
    wasmgrad_metrics trained, judged;
    check(wasmgrad_trainer_epoch(trainer, training, &trained));
    check(wasmgrad_trainer_evaluate(trainer, test, &judged));
    printf("epoch %u: training loss %.4f, test loss %.4f\n", epoch, trained.loss, judged.loss);
    fflush(stdout);
  }
  save(model, "trained_model.pt", "trained_model.pt.part");
  return 0; /* what is still open on the host is closed */
}
