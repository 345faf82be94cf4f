/* See progress.h. */
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* How the file begins. The best parameters and buffers follow, as many as it says. */
typedef struct header {
  uint32_t epoch, stale;
  double learning_rate, best_loss;
  uint32_t parameters, buffers;
} header;
_Static_assert(sizeof(header) == 32, "the file has no padding");

typedef struct part {
  const void* data;
  uint32_t bytes;
} part;

/* Writes parts under a temporary name, then renames it: the file is whole or not there. */
static void write_file(const char* path, const part* parts, int count) {
  char temporary[512];
  snprintf(temporary, sizeof temporary, "%s.part", path);
  FILE* file = fopen(temporary, "wb");
  int written = file != NULL;
  for (int i = 0; i < count; ++i)
    written = written && fwrite(parts[i].data, 1, parts[i].bytes, file) == parts[i].bytes;
  if (file != NULL) written = fclose(file) == 0 && written;
  if (!written || rename(temporary, path) != 0) fail(1, "%s: cannot be written: %s", path, strerror(errno));
}

static uint32_t bytes_of_best(uint32_t parameters, uint32_t buffers) {
  return (parameters + buffers) * (uint32_t)sizeof(float);
}

void note_best(progress* progress, double loss, wasmgrad_trainer trainer) {
  uint32_t parameters, buffers;
  check(wasmgrad_trainer_parameters(trainer, NULL, 0, &parameters));
  check(wasmgrad_trainer_buffers(trainer, NULL, 0, &buffers));
  if (progress->best == NULL) progress->best = allocate(parameters + buffers);
  progress->parameters = parameters / sizeof(float);
  progress->buffers = buffers / sizeof(float);
  check(wasmgrad_trainer_parameters(trainer, progress->best, parameters, &parameters));
  check(wasmgrad_trainer_buffers(trainer, progress->best + progress->parameters, buffers, &buffers));
  progress->best_loss = loss;
}

void show_best(const progress* progress, wasmgrad_trainer trainer) {
  if (progress->best == NULL) return;
  check(wasmgrad_trainer_set_parameters(trainer, progress->best, bytes_of_best(progress->parameters, 0)));
  check(wasmgrad_trainer_set_buffers(trainer, progress->best + progress->parameters,
                                     bytes_of_best(0, progress->buffers)));
}

void save_progress(const char* path, const progress* progress, wasmgrad_trainer trainer) {
  uint32_t bytes;
  check(wasmgrad_trainer_checkpoint(trainer, NULL, 0, &bytes));
  void* checkpoint = allocate(bytes);
  check(wasmgrad_trainer_checkpoint(trainer, checkpoint, bytes, &bytes));
  const header header = {progress->epoch,     progress->stale,      progress->learning_rate,
                         progress->best_loss, progress->parameters, progress->buffers};
  const part parts[] = {{&header, sizeof header},
                        {progress->best, bytes_of_best(progress->parameters, progress->buffers)},
                        {checkpoint, bytes}};
  write_file(path, parts, 3);
  free(checkpoint);
}

/* The next bytes of a file. */
static void* read_bytes(FILE* file, const char* path, uint32_t bytes) {
  void* data = allocate(bytes);
  if (fread(data, 1, bytes, file) != bytes) fail(1, "%s: is not a whole checkpoint", path);
  return data;
}

progress resume_progress(const char* path, wasmgrad_trainer trainer) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) fail(1, "%s: cannot be opened: %s", path, strerror(errno));
  header* header = read_bytes(file, path, sizeof *header);
  progress progress = {
      header->epoch,   header->stale, header->learning_rate, header->best_loss, header->parameters,
      header->buffers, NULL};
  free(header);
  const uint32_t best = bytes_of_best(progress.parameters, progress.buffers);
  if (best > 0) progress.best = read_bytes(file, path, best);
  const long begin = ftell(file);
  if (fseek(file, 0, SEEK_END) != 0) fail(1, "%s: cannot be read: %s", path, strerror(errno));
  const uint32_t bytes = (uint32_t)(ftell(file) - begin);
  if (fseek(file, begin, SEEK_SET) != 0) fail(1, "%s: cannot be read: %s", path, strerror(errno));
  void* checkpoint = read_bytes(file, path, bytes);
  fclose(file);
  check(wasmgrad_trainer_restore(trainer, checkpoint, bytes));
  free(checkpoint);
  return progress;
}

void save_model(const char* path, wasmgrad_model model) {
  uint32_t bytes;
  check(wasmgrad_model_export(model, WASMGRAD_ENCODING_TORCHSCRIPT, NULL, 0, &bytes));
  void* file = allocate(bytes);
  check(wasmgrad_model_export(model, WASMGRAD_ENCODING_TORCHSCRIPT, file, bytes, &bytes));
  const part whole = {file, bytes};
  write_file(path, &whole, 1);
  free(file);
}
