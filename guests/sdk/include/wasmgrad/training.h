/* The training imports of wasmgrad as a C guest sees them: record layouts, enumerators and the two `train`
 * functions.
 *
 * Plain C11 for wasm32, no library. It must not know how the host trains. C++ guests include training.hpp
 * instead. */
#ifndef WASMGRAD_TRAINING_H
#define WASMGRAD_TRAINING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Element types of a tensor, little-endian. */
enum wasmgrad_dtype {
  WASMGRAD_F16 = 0,
  WASMGRAD_F32 = 1,
  WASMGRAD_U8 = 2, /* inputs of this type are scaled by 1/255 on the host */
  WASMGRAD_I32 = 3,
  WASMGRAD_I64 = 4
};

enum wasmgrad_device { WASMGRAD_CPU = 0 };

enum wasmgrad_optimizer {
  WASMGRAD_ADAM = 0,
  WASMGRAD_RMSPROP = 1,
  WASMGRAD_SGD = 2,
  WASMGRAD_ADAMW = 3,
  WASMGRAD_ADAGRAD = 4,
  WASMGRAD_NADAM = 5,
  WASMGRAD_RADAM = 6,
  WASMGRAD_LION = 7,
  WASMGRAD_LAMB = 8
};

enum wasmgrad_loss {
  WASMGRAD_CROSS_ENTROPY = 0, /* the model returns probabilities [N, classes]; targets are classes [N] */
  WASMGRAD_CROSS_ENTROPY_LOGITS = 1, /* the model returns logits [N, classes]; targets are classes [N] */
  WASMGRAD_MSE = 2, /* this and those without a note: targets have the shape of the model's output */
  WASMGRAD_L1 = 3,
  WASMGRAD_HUBER = 4,
  WASMGRAD_BCE_WITH_LOGITS = 5,
  WASMGRAD_NLL = 6, /* the model returns log-probabilities [N, classes]; targets are classes [N] */
  WASMGRAD_KL_DIV = 7,
  WASMGRAD_COSINE = 8,
  WASMGRAD_FOCAL = 9
};

/* A named tensor of `wasmgrad_train`. Everything it points to belongs to the guest and is copied during the
 * call. */
typedef struct wasmgrad_tensor {
  const void* data;     /* row-major elements; the first dimension counts samples */
  uint32_t data_bytes;  /* product of the dimensions times the element size */
  const uint32_t* dims; /* one uint32_t a dimension */
  uint32_t dims_bytes;  /* length of `dims` in BYTES: 4 times the number of dimensions */
  uint8_t dtype;        /* enum wasmgrad_dtype */
  const char* name;     /* UTF-8, not terminated; may be empty */
  uint32_t name_bytes;
} wasmgrad_tensor;

/* A tensor of `wasmgrad_train_default_model`: the same without a name. */
typedef struct wasmgrad_unnamed_tensor {
  const void* data;
  uint32_t data_bytes;
  const uint32_t* dims;
  uint32_t dims_bytes;
  uint8_t dtype;
} wasmgrad_unnamed_tensor;

#ifdef __cplusplus
#define WASMGRAD_LAYOUT_ASSERT(condition) static_assert(condition, #condition)
#else
#define WASMGRAD_LAYOUT_ASSERT(condition) _Static_assert(condition, #condition)
#endif

WASMGRAD_LAYOUT_ASSERT(sizeof(void*) == 4);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor, data) == 0);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor, data_bytes) == 4);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor, dims) == 8);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor, dims_bytes) == 12);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor, dtype) == 16);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor, name) == 20);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor, name_bytes) == 24);
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_tensor) == 28);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_unnamed_tensor, data) == 0);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_unnamed_tensor, data_bytes) == 4);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_unnamed_tensor, dims) == 8);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_unnamed_tensor, dims_bytes) == 12);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_unnamed_tensor, dtype) == 16);
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_unnamed_tensor) == 20);

#undef WASMGRAD_LAYOUT_ASSERT

/* Trains the model `model` (a name granted with --model, else a path inside a granted directory) and returns
 * when it is trained and stored. Any error traps: the call does not return, and the host tells its owner why.
 *
 * - tensors: n pointers to records: inputs and targets of the training set (n = 2), then of the test set
 *   (n = 4), then of the validation set (n = 6)
 * - classes: number of classes of a classification; 0 for a regression
 * - device, optimizer, loss: values of the enumerations above
 * - learning_rate: finite, at least 0
 * - epochs: passes over the training set, at least 0
 * - batch_size: samples in one step, at least 1; the last batch of an epoch may be smaller
 * - model: UTF-8, `model_bytes` long, not terminated */
__attribute__((import_module("wasmedge-nn-training"), import_name("train"))) void wasmgrad_train(
    const wasmgrad_tensor* const* tensors, uint32_t n, int64_t classes, uint32_t device, double learning_rate,
    int32_t epochs, int64_t batch_size, uint32_t optimizer, uint32_t loss, const char* model,
    uint32_t model_bytes);

/* The older revision, without a model argument: trains the host's default model. */
__attribute__((import_module("naive-math"), import_name("train"))) void wasmgrad_train_default_model(
    const wasmgrad_unnamed_tensor* const* tensors, uint32_t n, int64_t classes, uint32_t device,
    double learning_rate, int32_t epochs, int64_t batch_size, uint32_t optimizer, uint32_t loss);

#ifdef __cplusplus
}
#endif

#endif
