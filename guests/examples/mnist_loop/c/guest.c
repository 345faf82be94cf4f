/* See guest.h. */
#include "guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "wasmgrad/training_v1.h"

void fail(int exit_code, const char* format, ...) {
  fflush(stdout);
  fputs("error: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(exit_code);
}

void check(uint32_t code) {
  if (code == WASMGRAD_SUCCESS) return;
  uint32_t bytes = 0;
  wasmgrad_last_error(NULL, 0, &bytes);
  char* sentence = allocate(bytes + 1);
  if (wasmgrad_last_error(sentence, bytes, &bytes) != WASMGRAD_SUCCESS) bytes = 0;
  if (code == WASMGRAD_INTERRUPTED) { /* nothing is wrong: the owner asked to stop */
    fflush(stdout);
    fprintf(stderr, "%.*s\n", (int)bytes, sentence);
    exit(130);
  }
  fail(1, "%.*s", (int)bytes, sentence);
}

void* allocate(uint32_t bytes) {
  void* memory = malloc(bytes);
  if (memory == NULL) fail(1, "out of memory: no %u bytes are left", bytes);
  return memory;
}
