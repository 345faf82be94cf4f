/* See progress.h. */
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

/* Writes a header and a body under a temporary name, then renames it: the file is whole or not there. */
static void write_file(const char* path, const void* header, uint32_t header_bytes, const void* body,
                       uint32_t bytes) {
  char temporary[512];
  snprintf(temporary, sizeof temporary, "%s.part", path);
  FILE* file = fopen(temporary, "wb");
  int written = file != NULL;
  written = written && fwrite(header, 1, header_bytes, file) == header_bytes;
  written = written && fwrite(body, 1, bytes, file) == bytes;
  if (file != NULL) written = fclose(file) == 0 && written;
  if (!written || rename(temporary, path) != 0) fail(1, "%s: cannot be written: %s", path, strerror(errno));
}

void save_progress(const char* path, const progress* progress, wasmgrad_trainer trainer) {
  uint32_t bytes;
  check(wasmgrad_trainer_checkpoint(trainer, NULL, 0, &bytes));
  void* checkpoint = allocate(bytes);
  check(wasmgrad_trainer_checkpoint(trainer, checkpoint, bytes, &bytes));
  write_file(path, progress, sizeof *progress, checkpoint, bytes);
  free(checkpoint);
}

progress resume_progress(const char* path, wasmgrad_trainer trainer) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) fail(1, "%s: cannot be opened: %s", path, strerror(errno));
  progress progress;
  if (fread(&progress, sizeof progress, 1, file) != 1 || fseek(file, 0, SEEK_END) != 0) {
    fail(1, "%s: is not a whole checkpoint", path);
  }
  const uint32_t bytes = (uint32_t)ftell(file) - (uint32_t)sizeof progress;
  void* checkpoint = allocate(bytes);
  if (fseek(file, sizeof progress, SEEK_SET) != 0 || fread(checkpoint, 1, bytes, file) != bytes) {
    fail(1, "%s: cannot be read: %s", path, strerror(errno));
  }
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
  write_file(path, NULL, 0, file, bytes);
  free(file);
}
