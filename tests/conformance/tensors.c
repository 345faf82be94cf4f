/* Tensors that are wrong in themselves, for every function that takes some. */
#include "suite.h"

typedef uint32_t (*takes_tensors)(uint32_t handle, address inputs, uint32_t n_inputs, address targets,
                                  uint32_t n_targets);

static uint32_t step(uint32_t trainer, address inputs, uint32_t n_inputs, address targets,
                     uint32_t n_targets) {
  return trainer_step(trainer, inputs, n_inputs, targets, n_targets, at(room(sizeof(wasmgrad_metrics))));
}
static uint32_t backward(uint32_t trainer, address inputs, uint32_t n_inputs, address targets,
                         uint32_t n_targets) {
  return trainer_backward(trainer, inputs, n_inputs, targets, n_targets, at(room(sizeof(wasmgrad_metrics))));
}
static uint32_t predict(uint32_t trainer, address inputs, uint32_t n_inputs, address targets,
                        uint32_t n_targets) {
  (void)targets, (void)n_targets;
  return trainer_predict(trainer, inputs, n_inputs, at(room(sizeof(uint32_t))));
}

/* Every way in which one of the tensors can be wrong in itself. `tensor` is the one that is spoiled and put
 * right again. */
static void refuse_spoiled(takes_tensors call, uint32_t handle, named_tensor* x, named_tensor* y,
                           named_tensor* tensor) {
  const named_tensor right = *tensor;
  const uint32_t dims_bytes = 4 * right.tensor.rank;
#define SPOILED(field, value)                  \
  do {                                         \
    tensor->field = value;                     \
    REFUSES(call(handle, at(x), 1, at(y), 1)); \
    *tensor = right;                           \
  } while (0)
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    tensor->name_bytes = 4;
    SPOILED(name, bad_address(i, 4));
    SPOILED(tensor.dims, bad_address(i, dims_bytes));
    SPOILED(tensor.data, bad_address(i, right.tensor.data_bytes));
  }
  SPOILED(name_bytes, 1025);
  SPOILED(name_bytes, UINT32_MAX);
  tensor->name = text("\xff\xfe");
  SPOILED(name_bytes, 2);
  SPOILED(tensor.rank, 17);
  SPOILED(tensor.rank, UINT32_MAX);
  SPOILED(tensor.type, 7);
  SPOILED(tensor.type, 255);
  SPOILED(tensor.data_bytes, right.tensor.data_bytes - 1);
  SPOILED(tensor.data_bytes, right.tensor.data_bytes + 1);
  SPOILED(tensor.data_bytes, 0);
  SPOILED(tensor.data_bytes, UINT32_MAX);
  /* A product of dimensions that is right only without its upper bits. */
  const uint32_t wrapping[4] = {0x10000, 0x10000, 0x10000, 0x10000};
  tensor->tensor.rank = 4;
  tensor->tensor.data_bytes = 0;
  SPOILED(tensor.dims, at(copied(wrapping, sizeof wrapping)));
#undef SPOILED
}

static void refuse_bad_tensors(takes_tensors call, uint32_t handle, int has_targets) {
  named_tensor* x = features(4);
  named_tensor* y = classes(4);
  refuse_spoiled(call, handle, x, y, x);
  if (has_targets) refuse_spoiled(call, handle, x, y, y);
  const uint32_t record = sizeof *x;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(call(handle, bad_address(i, record), 1, at(y), 1));
    if (has_targets) REFUSES(call(handle, at(x), 1, bad_address(i, record), 1));
  }
  /* Records from here to behind the end of the memory. */
  REFUSES(call(handle, (address)(memory_end() - 10 * record), 11, at(y), 1));
  if (has_targets) REFUSES(call(handle, at(x), 1, (address)(memory_end() - 10 * record), 11));
  REFUSES(call(handle, at(x), 0, at(y), 1));
}

static void dataset_append_refuses_bad_tensors(void) {
  const uint32_t dataset = dataset_of_rows(4);
  REQUIRE(dataset != 0);
  refuse_bad_tensors(dataset_append, dataset, 1);
  uint64_t* rows = room(sizeof *rows);
  SUCCEEDS(dataset_size(dataset, at(rows)));
  EQUALS(*rows, 4);
}

static void trainer_step_refuses_bad_tensors(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  REQUIRE(trainer != 0);
  uint32_t count = 0;
  const float* before = parameters_of(trainer, &count);
  refuse_bad_tensors(step, trainer, 1);
  const float* after = parameters_of(trainer, &count);
  REQUIRE(before != NULL && after != NULL && memcmp(before, after, count * sizeof *after) == 0);
}

static void trainer_backward_refuses_bad_tensors(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  REQUIRE(trainer != 0);
  refuse_bad_tensors(backward, trainer, 1);
  uint32_t count = 0;
  const float* gradients = gradients_of(trainer, &count);
  REQUIRE(gradients != NULL);
  for (uint32_t i = 0; i < count; ++i) EQUALS(gradients[i], 0);
}

static void trainer_predict_refuses_bad_tensors(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  REQUIRE(trainer != 0);
  refuse_bad_tensors(predict, trainer, 0);
}

void run_tensor_cases(void) {
  RUN(dataset_append_refuses_bad_tensors);
  RUN(trainer_step_refuses_bad_tensors);
  RUN(trainer_backward_refuses_bad_tensors);
  RUN(trainer_predict_refuses_bad_tensors);
}
