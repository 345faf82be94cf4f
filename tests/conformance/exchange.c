/* What a guest takes out of a trainer and puts back: parameters, gradients, buffers, checkpoints. */
#include "suite.h"

enum { PARAMETERS = FEATURES * CLASSES + CLASSES, PARAMETER_BYTES = 4 * PARAMETERS };

static uint32_t step(uint32_t trainer, uint32_t rows) {
  return trainer_step(trainer, at(features(rows)), 1, at(classes(rows)), 1,
                      at(room(sizeof(wasmgrad_metrics))));
}
static uint32_t backward(uint32_t trainer, uint32_t rows) {
  return trainer_backward(trainer, at(features(rows)), 1, at(classes(rows)), 1,
                          at(room(sizeof(wasmgrad_metrics))));
}

/* ---- Parameters ---- */

static void parameters_are_the_models_in_its_order(void) {
  uint32_t count = 0;
  const float* values = parameters_of(trainer_of("linear", "{}"), &count);
  REQUIRE(values != NULL);
  EQUALS(count, PARAMETERS);
  for (int i = 0; i < FEATURES * CLASSES; ++i) NEAR(values[i], i / 100.0, 1e-7);
  for (int i = 0; i < CLASSES; ++i) NEAR(values[FEATURES * CLASSES + i], (i + 1) / 10.0, 1e-7);
}

static void parameters_come_back_as_they_were_set(void) {
  const uint32_t trainer = trainer_of("linear", "{'optimizer':'sgd'}");
  float* values = room(PARAMETER_BYTES);
  for (int i = 0; i < PARAMETERS; ++i) values[i] = (float)i / 7 - 1;
  SUCCEEDS(trainer_set_parameters(trainer, at(values), PARAMETER_BYTES));
  uint32_t count = 0;
  const float* got = parameters_of(trainer, &count);
  REQUIRE(got != NULL && memcmp(got, values, PARAMETER_BYTES) == 0);
  uint32_t* outputs = room(sizeof *outputs);
  named_tensor* zeros = list(matrix("", WASMGRAD_TYPE_F32, NULL, 1, FEATURES));
  SUCCEEDS(trainer_predict(trainer, at(zeros), 1, at(outputs)));
  const float* biases = output_of(trainer, 0, &count);
  REQUIRE(biases != NULL);
  for (int i = 0; i < CLASSES; ++i) NEAR(biases[i], values[FEATURES * CLASSES + i], 1e-6);
}

typedef uint32_t (*reader)(uint32_t trainer, address buffer, uint32_t buffer_bytes, address written);
typedef uint32_t (*writer)(uint32_t trainer, address values, uint32_t bytes);

static void check_reader(reader read, uint32_t trainer, uint32_t bytes) {
  unsigned char* buffer = room(bytes + 1);
  uint32_t* written = room(sizeof *written);
  SUCCEEDS(read(trainer, at(buffer), 0, at(written)));
  EQUALS(*written, bytes);
  *written = 0;
  RETURNS(WASMGRAD_TOO_LARGE, read(trainer, at(buffer), bytes - 1, at(written)));
  EQUALS(*written, bytes);
  for (uint32_t i = 0; i < bytes; ++i) EQUALS(buffer[i], 0);
  buffer[bytes] = 0x5a;
  SUCCEEDS(read(trainer, at(buffer), bytes + 1, at(written)));
  EQUALS(*written, bytes);
  EQUALS(buffer[bytes], 0x5a);
}

static void parameters_tell_their_size(void) {
  check_reader(trainer_parameters, trainer_of("linear", "{}"), PARAMETER_BYTES);
}

static void gradients_tell_their_size(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  SUCCEEDS(backward(trainer, 3));
  check_reader(trainer_gradients, trainer, PARAMETER_BYTES);
}

static void checkpoints_tell_their_size(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t bytes = 0;
  REQUIRE(checkpoint_of(trainer, &bytes) != NULL);
  check_reader(trainer_checkpoint, trainer, bytes);
}

static void check_writer(writer write, uint32_t trainer) {
  float* values = room(PARAMETER_BYTES + 4);
  REFUSES(write(trainer, at(values), PARAMETER_BYTES - 4));
  REFUSES(write(trainer, at(values), PARAMETER_BYTES + 4));
  REFUSES(write(trainer, at(values), PARAMETER_BYTES - 1));
  REFUSES(write(trainer, at(values), 0));
  const float wrong[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; ++i) {
    values[PARAMETERS - 1] = wrong[i];
    REFUSES(write(trainer, at(values), PARAMETER_BYTES));
  }
}

static void parameters_of_a_wrong_size_or_not_finite_are_refused(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t count = 0;
  const float* before = parameters_of(trainer, &count);
  check_writer(trainer_set_parameters, trainer);
  const float* after = parameters_of(trainer, &count);
  REQUIRE(before != NULL && after != NULL && memcmp(before, after, PARAMETER_BYTES) == 0);
}

static void gradients_of_a_wrong_size_or_not_finite_are_refused(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  SUCCEEDS(backward(trainer, 3));
  uint32_t count = 0;
  const float* before = gradients_of(trainer, &count);
  check_writer(trainer_set_gradients, trainer);
  const float* after = gradients_of(trainer, &count);
  REQUIRE(before != NULL && after != NULL && memcmp(before, after, PARAMETER_BYTES) == 0);
}

static void frozen_parameters_are_not_among_them(void) {
  uint32_t count = 0;
  const uint32_t trainer = trainer_of("linear", "{'freeze':['fc.w*'],'optimizer':'sgd'}");
  REQUIRE(parameters_of(trainer, &count) != NULL);
  EQUALS(count, CLASSES);
  SUCCEEDS(step(trainer, 3));
}

/* ---- Gradients ---- */

static void gradients_are_zero_before_the_first(void) {
  uint32_t count = 0;
  const float* values = gradients_of(trainer_of("linear", "{}"), &count);
  REQUIRE(values != NULL);
  EQUALS(count, PARAMETERS);
  for (int i = 0; i < PARAMETERS; ++i) EQUALS(values[i], 0);
}

static void gradients_are_those_of_the_mean_loss(void) {
  const uint32_t trainer = trainer_of("linear", "{'loss':'mse'}");
  const float x[2 * FEATURES] = {1, 0, 0, 0, 0, 0, 0, 0};
  const float y[2 * CLASSES] = {0, 0, 0, 0, 0, 0};
  SUCCEEDS(trainer_backward(trainer, at(list(matrix("", WASMGRAD_TYPE_F32, x, 2, FEATURES))), 1,
                            at(list(matrix("", WASMGRAD_TYPE_F32, y, 2, CLASSES))), 1,
                            at(room(sizeof(wasmgrad_metrics)))));
  uint32_t count = 0;
  const float* values = gradients_of(trainer, &count);
  REQUIRE(values != NULL);
  /* Outputs: row 0: weight[c][0] + bias[c]; row 1: bias[c]. The mean is over 6 elements. */
  for (int c = 0; c < CLASSES; ++c) {
    const double bias = (c + 1) / 10.0, output = c * FEATURES / 100.0 + bias;
    NEAR(values[c * FEATURES], 2 * output / 6, 1e-6);
    EQUALS(values[c * FEATURES + 1], 0);
    NEAR(values[FEATURES * CLASSES + c], 2 * (output + bias) / 6, 1e-6);
  }
}

static void gradients_of_several_batches_are_their_mean(void) {
  const uint32_t one = trainer_of("linear", "{}");
  const uint32_t two = trainer_of("linear", "{}");
  SUCCEEDS(backward(one, 3));
  uint32_t count = 0;
  const float* single = gradients_of(one, &count);
  SUCCEEDS(backward(two, 3));
  SUCCEEDS(backward(two, 3));
  const float* both = gradients_of(two, &count);
  REQUIRE(single != NULL && both != NULL);
  for (int i = 0; i < PARAMETERS; ++i) NEAR(both[i], single[i], 1e-7);
}

static void apply_uses_the_gradients_that_were_set_and_clears_them(void) {
  const uint32_t trainer = trainer_of("linear", "{'optimizer':{'name':'sgd','learning_rate':0.5}}");
  uint32_t count = 0;
  const float* before = parameters_of(trainer, &count);
  float* values = room(PARAMETER_BYTES);
  for (int i = 0; i < PARAMETERS; ++i) values[i] = (float)i;
  SUCCEEDS(trainer_set_gradients(trainer, at(values), PARAMETER_BYTES));
  const float* set = gradients_of(trainer, &count);
  REQUIRE(before != NULL && set != NULL && memcmp(set, values, PARAMETER_BYTES) == 0);
  SUCCEEDS(trainer_apply(trainer));
  const float* after = parameters_of(trainer, &count);
  REQUIRE(after != NULL);
  for (int i = 0; i < PARAMETERS; ++i) NEAR(after[i], before[i] - 0.5 * i, 1e-6);
  const float* cleared = gradients_of(trainer, &count);
  REQUIRE(cleared != NULL);
  for (int i = 0; i < PARAMETERS; ++i) EQUALS(cleared[i], 0);
}

/* ---- Buffers: the mean and variance of the batch norm in "convolution" ---- */

enum { BUFFERS = 2, BUFFER_BYTES = BUFFERS * sizeof(float) };

static void buffers_are_the_models_in_its_order(void) {
  uint32_t count = 0;
  const float* values = buffers_of(trainer_of("convolution", "{}"), &count);
  REQUIRE(values != NULL);
  EQUALS(count, BUFFERS);
  EQUALS(values[0], 0);
  EQUALS(values[1], 1);
}

static void a_model_without_buffers_has_none(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t* written = room(sizeof *written);
  *written = 7;
  SUCCEEDS(trainer_buffers(trainer, at(written), 0, at(written)));
  EQUALS(*written, 0);
  SUCCEEDS(trainer_set_buffers(trainer, at(written), 0));
  REFUSES(trainer_set_buffers(trainer, at(written), 4));
}

static void buffers_come_back_as_they_were_set(void) {
  const uint32_t trainer = trainer_of("convolution", "{}");
  float* values = room(BUFFER_BYTES);
  values[0] = 0.25f;
  values[1] = 4;
  SUCCEEDS(trainer_set_buffers(trainer, at(values), BUFFER_BYTES));
  uint32_t count = 0;
  const float* got = buffers_of(trainer, &count);
  REQUIRE(got != NULL && count == BUFFERS && memcmp(got, values, BUFFER_BYTES) == 0);
}

static void buffers_tell_their_size(void) {
  check_reader(trainer_buffers, trainer_of("convolution", "{}"), BUFFER_BYTES);
}

static void buffers_of_a_wrong_size_or_not_finite_are_refused(void) {
  const uint32_t trainer = trainer_of("convolution", "{}");
  float* values = room(BUFFER_BYTES + 4);
  REFUSES(trainer_set_buffers(trainer, at(values), 0));
  REFUSES(trainer_set_buffers(trainer, at(values), BUFFER_BYTES - 4));
  REFUSES(trainer_set_buffers(trainer, at(values), BUFFER_BYTES - 1));
  REFUSES(trainer_set_buffers(trainer, at(values), BUFFER_BYTES + 4));
  const float wrong[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; ++i) {
    values[0] = 5;
    values[1] = wrong[i];
    REFUSES(trainer_set_buffers(trainer, at(values), BUFFER_BYTES));
  }
  uint32_t count = 0;
  const float* after = buffers_of(trainer, &count);
  REQUIRE(after != NULL && count == BUFFERS);
  EQUALS(after[0], 0);
  EQUALS(after[1], 1);
}

/* ---- Checkpoints ---- */

#define CHECKPOINTED                                                                        \
  "{'batch_size':3,'threads':1,'seed':11,'optimizer':{'name':'adam','learning_rate':0.01}," \
  "'schedule':'cosine','epochs':4}"

static uint32_t pictures(void) {
  const uint32_t dims[4] = {10, 1, 6, 6};
  unsigned char pixels[360];
  for (int i = 0; i < 360; ++i) pixels[i] = (unsigned char)(i * 7);
  return dataset_of(list(tensor("", WASMGRAD_TYPE_U8, pixels, 4, dims)), 1, classes(10), 1);
}

/* A copy of parameters and buffers computes what the original computes; of parameters alone it does not. */
static void a_model_averages_only_with_its_buffers(void) {
  const uint32_t trained = trainer_of("convolution", CHECKPOINTED);
  const uint32_t copy = trainer_of("convolution", CHECKPOINTED);
  const uint32_t data = pictures();
  wasmgrad_metrics* metrics = room(3 * sizeof *metrics);
  uint32_t count = 0;
  SUCCEEDS(trainer_epoch(trained, data, at(metrics)));
  SUCCEEDS(trainer_evaluate(trained, data, at(metrics)));
  float* parameters = parameters_of(trained, &count);
  REQUIRE(parameters != NULL);
  SUCCEEDS(trainer_set_parameters(copy, at(parameters), count * sizeof(float)));
  SUCCEEDS(trainer_evaluate(copy, data, at(metrics + 1)));
  float* buffers = buffers_of(trained, &count);
  REQUIRE(buffers != NULL && count == BUFFERS);
  SUCCEEDS(trainer_set_buffers(copy, at(buffers), count * sizeof(float)));
  SUCCEEDS(trainer_evaluate(copy, data, at(metrics + 2)));
  REQUIRE(metrics[1].loss != metrics[0].loss);
  EQUALS(metrics[2].loss, metrics[0].loss);
}

static void a_restored_trainer_goes_on_as_if_it_had_not_ended(void) {
  const uint32_t whole = trainer_of("convolution", CHECKPOINTED);
  const uint32_t data = pictures();
  wasmgrad_metrics* metrics = room(2 * sizeof *metrics);
  REQUIRE(whole != 0 && data != 0);
  SUCCEEDS(trainer_epoch(whole, data, at(metrics)));
  uint32_t bytes = 0, whole_bytes = 0, restored_bytes = 0;
  unsigned char* state = checkpoint_of(whole, &bytes);
  REQUIRE(state != NULL);
  SUCCEEDS(trainer_epoch(whole, data, at(metrics)));
  const uint32_t restored = trainer_of("convolution", CHECKPOINTED);
  SUCCEEDS(trainer_restore(restored, at(state), bytes));
  SUCCEEDS(trainer_epoch(restored, data, at(metrics + 1)));
  EQUALS(metrics[1].loss, metrics[0].loss);
  EQUALS(metrics[1].learning_rate, metrics[0].learning_rate);
  EQUALS(metrics[1].step, 8);
  EQUALS(metrics[1].epoch, 2);
  const unsigned char* one = checkpoint_of(whole, &whole_bytes);
  const unsigned char* other = checkpoint_of(restored, &restored_bytes);
  REQUIRE(one != NULL && other != NULL && whole_bytes == restored_bytes);
  REQUIRE(memcmp(one, other, whole_bytes) == 0);
}

static void a_checkpoint_goes_back_in_the_same_trainer(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t bytes = 0, count = 0;
  SUCCEEDS(step(trainer, 5));
  unsigned char* state = checkpoint_of(trainer, &bytes);
  const float* before = parameters_of(trainer, &count);
  SUCCEEDS(step(trainer, 5));
  SUCCEEDS(trainer_restore(trainer, at(state), bytes));
  const float* after = parameters_of(trainer, &count);
  REQUIRE(before != NULL && after != NULL && memcmp(before, after, PARAMETER_BYTES) == 0);
}

static void bytes_that_are_no_checkpoint_are_refused(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t bytes = 0, after_bytes = 0;
  SUCCEEDS(step(trainer, 5));
  unsigned char* state = checkpoint_of(trainer, &bytes);
  unsigned char* garbage = room(256);
  memset(garbage, 0xa5, 256);
  REQUIRE(state != NULL);
  RETURNS(WASMGRAD_INVALID_ENCODING, trainer_restore(trainer, at(garbage), 256));
  RETURNS(WASMGRAD_INVALID_ENCODING, trainer_restore(trainer, at(state), 0));
  RETURNS(WASMGRAD_INVALID_ENCODING, trainer_restore(trainer, at(state), bytes - 1));
  RETURNS(WASMGRAD_INVALID_ENCODING, trainer_restore(trainer, at(state), bytes / 2));
  const unsigned char* after = checkpoint_of(trainer, &after_bytes);
  REQUIRE(after != NULL && after_bytes == bytes && memcmp(state, after, bytes) == 0);
}

static void a_checkpoint_of_another_model_or_optimizer_is_refused(void) {
  const uint32_t other = trainer_of("two-outputs", "{'loss':{'value':'mse'}}");
  const uint32_t sgd = trainer_of("linear", "{'optimizer':'sgd'}");
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t other_bytes = 0, sgd_bytes = 0, count = 0;
  unsigned char* of_other = checkpoint_of(other, &other_bytes);
  unsigned char* of_sgd = checkpoint_of(sgd, &sgd_bytes);
  const float* before = parameters_of(trainer, &count);
  REQUIRE(of_other != NULL && of_sgd != NULL && before != NULL);
  REFUSES(trainer_restore(trainer, at(of_other), other_bytes));
  REFUSES(trainer_restore(trainer, at(of_sgd), sgd_bytes));
  const float* after = parameters_of(trainer, &count);
  REQUIRE(after != NULL && memcmp(before, after, PARAMETER_BYTES) == 0);
}

void run_exchange_cases(void) {
  RUN(parameters_are_the_models_in_its_order);
  RUN(parameters_come_back_as_they_were_set);
  RUN(parameters_tell_their_size);
  RUN(parameters_of_a_wrong_size_or_not_finite_are_refused);
  RUN(frozen_parameters_are_not_among_them);
  RUN(gradients_tell_their_size);
  RUN(gradients_are_zero_before_the_first);
  RUN(gradients_are_those_of_the_mean_loss);
  RUN(gradients_of_several_batches_are_their_mean);
  RUN(gradients_of_a_wrong_size_or_not_finite_are_refused);
  RUN(apply_uses_the_gradients_that_were_set_and_clears_them);
  RUN(buffers_are_the_models_in_its_order);
  RUN(a_model_without_buffers_has_none);
  RUN(buffers_come_back_as_they_were_set);
  RUN(buffers_tell_their_size);
  RUN(buffers_of_a_wrong_size_or_not_finite_are_refused);
  RUN(a_model_averages_only_with_its_buffers);
  RUN(checkpoints_tell_their_size);
  RUN(a_restored_trainer_goes_on_as_if_it_had_not_ended);
  RUN(a_checkpoint_goes_back_in_the_same_trainer);
  RUN(bytes_that_are_no_checkpoint_are_refused);
  RUN(a_checkpoint_of_another_model_or_optimizer_is_refused);
}
