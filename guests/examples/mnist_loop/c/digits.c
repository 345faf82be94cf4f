/* See digits.h. */
#include "digits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

enum { SIDE = 28, PIXELS = SIDE * SIDE, BLOCK = 1000 };

typedef struct idx_file {
  char path[512];
  FILE* file;
} idx_file;

static uint32_t big_endian(const uint8_t* bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void read_exactly(const idx_file* idx, void* destination, uint32_t bytes) {
  const size_t got = fread(destination, 1, bytes, idx->file);
  if (got != bytes) fail(1, "%s: truncated: expected %u more bytes, found %zu", idx->path, bytes, got);
}

/* Opens a file of unsigned bytes of this rank whose samples are SIDE x SIDE, or scalars; returns their
 * number. */
static uint32_t open_idx(idx_file* idx, const char* directory, const char* set, const char* rest,
                         uint32_t rank) {
  snprintf(idx->path, sizeof idx->path, "%s/%s-%s-ubyte", directory, set, rest);
  idx->file = fopen(idx->path, "rb");
  if (idx->file == NULL) fail(1, "%s: cannot be opened: %s", idx->path, strerror(errno));
  uint8_t header[16];
  read_exactly(idx, header, 4 + 4 * rank);
  if (big_endian(header) != (0x800 | rank)) {
    fail(1, "%s: bad magic number: expected 0x%08x, found 0x%08x", idx->path, 0x800 | rank,
         big_endian(header));
  }
  for (uint32_t axis = 1; axis < rank; ++axis) {
    const uint32_t side = big_endian(header + 4 + 4 * axis);
    if (side != SIDE)
      fail(1, "%s: expected images of %dx%d, found a side of %u", idx->path, SIDE, SIDE, side);
  }
  return big_endian(header + 4);
}

wasmgrad_dataset upload(const char* directory, const char* set) {
  idx_file images, labels;
  const uint32_t count = open_idx(&images, directory, set, "images-idx3", 3);
  const uint32_t label_count = open_idx(&labels, directory, set, "labels-idx1", 1);
  if (label_count != count) {
    fail(1, "%s: expected %u labels, one for each image of %s, found %u", labels.path, count, images.path,
         label_count);
  }

  wasmgrad_dataset dataset;
  check(wasmgrad_dataset_create(&dataset));
  static uint8_t pixels[BLOCK * PIXELS];
  static uint8_t bytes[BLOCK];
  static int64_t classes[BLOCK];
  for (uint32_t done = 0, rows; done < count; done += rows) {
    rows = count - done < BLOCK ? count - done : BLOCK;
    read_exactly(&images, pixels, rows * PIXELS);
    read_exactly(&labels, bytes, rows);
    for (uint32_t i = 0; i < rows; ++i) classes[i] = bytes[i];
    const uint32_t image_dims[] = {rows, 1, SIDE, SIDE};
    const wasmgrad_named_tensor input = {.tensor = {image_dims, 4, WASMGRAD_TYPE_U8, pixels, rows * PIXELS}};
    const wasmgrad_named_tensor target = {.tensor = {&rows, 1, WASMGRAD_TYPE_I64, classes, rows * 8}};
    check(wasmgrad_dataset_append(dataset, &input, 1, &target, 1));
  }
  fclose(images.file);
  fclose(labels.file);
  return dataset;
}
