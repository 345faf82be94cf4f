/* A guest of the 11-argument revision (`wasmedge-nn-training.train`), written against the raw import.
 *
 * Usage: compat_v11.wasm [MODEL [IMAGES]]. The record is spelled out in words, so that a change of the SDK
 * cannot hide here. */
#include <string.h>

#include "compat_mnist.h"

__attribute__((import_module("wasmedge-nn-training"), import_name("train"))) void train(
    uint32_t tensors, uint32_t n, int64_t labels, uint32_t device, double learning_rate, uint32_t epochs,
    int64_t batch, uint32_t optimizer, uint32_t loss, uint32_t model_path, uint32_t model_path_len);

struct record {
  uint32_t
      words[7]; /* data, data length, dims, dims length in bytes, dtype in the low byte, name, name length */
};

static uint32_t address(const void* pointer) { return (uint32_t)(uintptr_t)pointer; }

static struct record make(const void* data, uint32_t data_bytes, const uint32_t* dims, uint32_t rank,
                          uint8_t dtype, const char* name) {
  struct record record;
  /* The three bytes after the dtype are padding, which earlier guests left as they were. */
  memset(&record, 0xa5, sizeof record);
  record.words[0] = address(data);
  record.words[1] = data_bytes;
  record.words[2] = address(dims);
  record.words[3] = rank * 4;
  memcpy(&record.words[4], &dtype, 1);
  record.words[5] = address(name);
  record.words[6] = (uint32_t)strlen(name);
  return record;
}

int main(int argc, char** argv) {
  const char* model = argc > 1 ? argv[1] : "model.pt";
  const uint32_t count = train_count(argc, argv), test_count = count / 6;
  float* images = read_images("train-images-idx3-ubyte", count);
  int64_t* labels = read_labels("train-labels-idx1-ubyte", count);
  float* test_images = read_images("t10k-images-idx3-ubyte", test_count);
  int64_t* test_labels = read_labels("t10k-labels-idx1-ubyte", test_count);
  const uint32_t dims[] = {count, 1, 28, 28}, test_dims[] = {test_count, 1, 28, 28};
  const struct record records[] = {
      make(images, count * PIXELS * 4, dims, 4, 1, "train images"),
      make(labels, count * 8, dims, 1, 4, "train labels"),
      make(test_images, test_count * PIXELS * 4, test_dims, 4, 1, "test images"),
      make(test_labels, test_count * 8, test_dims, 1, 4, "test labels"),
  };
  const uint32_t tensors[] = {address(&records[0]), address(&records[1]), address(&records[2]),
                              address(&records[3])};
  reach_classic_size(count);
  train(address(tensors), 4, CLASSES, 0, 1e-4, 10, 128, 0, 1, address(model), (uint32_t)strlen(model));
  return 0;
}
