/* What both compatibility guests do before they call the host: MNIST as f32 images and i64 labels, memory as
 * it stood then.
 *
 * Written as such guests are: no SDK, the whole data set in memory at once. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = 28 * 28, CLASSES = 10 };

/* Linear memory of the earlier guests when they called the host: 405 MiB, in pages of 64 KiB. */
enum { CLASSIC_PAGES = 6477 };

static void die(const char* what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static void* allocate(size_t bytes) {
  void* memory = malloc(bytes);
  if (memory == NULL) die("out of memory");
  return memory;
}

/* Opens `name` in the first of the usual directories that has it. */
static FILE* open_data(const char* name) {
  static const char* const directories[] = {"/data", ".", "data/mnist"};
  for (size_t i = 0; i < sizeof directories / sizeof *directories; ++i) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directories[i], name);
    FILE* file = fopen(path, "rb");
    if (file != NULL) return file;
  }
  die(name);
  return NULL;
}

/* Reads `count` samples of `size` bytes behind a header of `header` bytes. */
static uint8_t* read_bytes(const char* name, size_t header, size_t count, size_t size) {
  FILE* file = open_data(name);
  uint8_t* bytes = allocate(count * size);
  if (fseek(file, (long)header, SEEK_SET) != 0 || fread(bytes, size, count, file) != count) die(name);
  fclose(file);
  return bytes;
}

static float* read_images(const char* name, size_t count) {
  uint8_t* bytes = read_bytes(name, 16, count, PIXELS);
  float* pixels = allocate(count * PIXELS * sizeof(float));
  for (size_t i = 0; i < count * PIXELS; ++i) pixels[i] = (float)bytes[i] / 255.0f;
  free(bytes);
  return pixels;
}

static int64_t* read_labels(const char* name, size_t count) {
  uint8_t* bytes = read_bytes(name, 8, count, 1);
  int64_t* labels = allocate(count * sizeof(int64_t));
  for (size_t i = 0; i < count; ++i) labels[i] = bytes[i];
  free(bytes);
  return labels;
}

/* The second argument, when there is one: train on so many images, and test on a sixth of that. */
static uint32_t train_count(int argc, char** argv) {
  return argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 60000;
}

/* Grows the memory to its classic size, unless the images were limited. */
static void reach_classic_size(uint32_t images) {
  const size_t pages = __builtin_wasm_memory_size(0);
  if (images == 60000 && pages < CLASSIC_PAGES &&
      __builtin_wasm_memory_grow(0, CLASSIC_PAGES - pages) == (size_t)-1) {
    die("memory cannot grow to 6477 pages");
  }
}
