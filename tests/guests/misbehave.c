/* Guests that go wrong without the training host: one way for each mode, given as the first argument. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void trap(void) { __builtin_trap(); }

static void exit_3(void) { exit(3); }

static void exit_300(void) { exit(300); }

static void loop(void) {
  for (volatile uint32_t turns = 0;;) ++turns;
}

/* Never set, which the compiler cannot know; touching it after the call keeps the recursions from becoming
 * loops. */
static volatile uint32_t depth_wanted = 0;

/* Each level takes room in linear memory, whose stack is what runs out first. */
__attribute__((noinline)) static uint32_t descend(uint32_t depth) {
  volatile uint8_t frame[64];
  frame[depth % sizeof frame] = (uint8_t)depth;
  if (depth + 1 == depth_wanted) return 0;
  return descend(depth + 1) + frame[(depth + 1) % sizeof frame];
}

static void recurse(void) { exit((int)(descend(0) & 1)); }

/* No level takes room in linear memory: only the engine's own stack can run out. */
__attribute__((noinline)) static uint32_t descend_native(uint32_t depth) {
  if (depth + 1 == depth_wanted) return 0;
  const uint32_t below = descend_native(depth + 1);
  return below + depth_wanted + 1;
}

static void recurse_native(void) { exit((int)(descend_native(0) & 1)); }

/* Grows until the engine refuses, then says how far it came: a limit that holds is not an error by itself. */
static void grow(void) {
  while (__builtin_wasm_memory_grow(0, 256) != (size_t)-1) {
  }
  fprintf(stderr, "memory stopped at %zu pages\n", (size_t)__builtin_wasm_memory_size(0));
  exit(1);
}

static void flood(void) {
  static char line[4096];
  memset(line, 'x', sizeof line);
  line[sizeof line - 1] = '\n';
  while (fwrite(line, 1, sizeof line, stdout) == sizeof line) {
  }
  fprintf(stderr, "standard output was closed\n");
  exit(1);
}

static void open_many(void) {
  for (int count = 0; count < 100000; ++count) {
    char path[32];
    snprintf(path, sizeof path, "open-%d", count % 4);
    if (open(path, O_CREAT | O_RDWR, 0600) < 0) {
      fprintf(stderr, "refused after %d files\n", count);
      exit(1);
    }
  }
}

static void fill_disk(void) {
  static char block[65536];
  const int file = open("filler", O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (file < 0) exit(1);
  for (uint64_t written = 0; write(file, block, sizeof block) == (ssize_t)sizeof block;
       written += sizeof block) {
    if (written > UINT64_C(1) << 33) exit(0);
  }
  fprintf(stderr, "writing was refused\n");
  exit(1);
}

static const struct {
  const char* name;
  void (*run)(void);
} kModes[] = {
    {"trap", trap},           {"exit-3", exit_3},   {"exit-300", exit_300},
    {"loop", loop},           {"recurse", recurse}, {"recurse-native", recurse_native},
    {"grow", grow},           {"flood", flood},     {"open-many", open_many},
    {"fill-disk", fill_disk},
};

int main(int argc, char** argv) {
  for (size_t i = 0; argc > 1 && i < sizeof kModes / sizeof *kModes; ++i) {
    if (strcmp(argv[1], kModes[i].name) == 0) {
      kModes[i].run();
      return 0;
    }
  }
  fprintf(stderr, "unknown mode\n");
  return 64;
}
