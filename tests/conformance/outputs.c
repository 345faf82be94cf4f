/* What a model computes: evaluation, prediction, several inputs and outputs, a loss of its own. */
#include "suite.h"

/* ---- Evaluation and prediction ---- */

static void evaluation_changes_nothing(void) {
  const uint32_t trainer = trainer_of("convolution", "{}");
  const uint32_t dims[4] = {5, 1, 6, 6};
  const uint32_t data = dataset_of(list(tensor("", WASMGRAD_TYPE_U8, NULL, 4, dims)), 1, classes(5), 1);
  uint32_t before_bytes = 0, after_bytes = 0;
  const unsigned char* before = checkpoint_of(trainer, &before_bytes);
  wasmgrad_metrics* metrics = room(2 * sizeof *metrics);
  SUCCEEDS(trainer_evaluate(trainer, data, at(metrics)));
  SUCCEEDS(trainer_evaluate(trainer, data, at(metrics + 1)));
  EQUALS(metrics[1].loss, metrics[0].loss);
  EQUALS(metrics[0].samples, 5);
  EQUALS(metrics[0].learning_rate, NAN);
  const unsigned char* after = checkpoint_of(trainer, &after_bytes);
  REQUIRE(before != NULL && after != NULL && before_bytes == after_bytes);
  REQUIRE(memcmp(before, after, after_bytes) == 0);
}

static void an_output_tells_its_type_and_shape(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t* outputs = room(sizeof *outputs);
  SUCCEEDS(trainer_predict(trainer, at(features(7)), 1, at(outputs)));
  EQUALS(*outputs, 1);
  wasmgrad_output_info* info = room(sizeof *info);
  float* values = room(7 * CLASSES * sizeof *values);
  uint32_t* written = room(sizeof *written);
  SUCCEEDS(trainer_output(trainer, 0, at(info), at(values), 7 * CLASSES * sizeof *values, at(written)));
  EQUALS(*written, 7 * CLASSES * sizeof *values);
  EQUALS(info->type, WASMGRAD_TYPE_F32);
  EQUALS(info->rank, 2);
  EQUALS(info->dims[0], 7);
  EQUALS(info->dims[1], CLASSES);
  REQUIRE(isfinite(values[0]) && values[0] != 0);
}

static void an_output_says_what_a_too_small_buffer_needs(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t* out = room(2 * sizeof *out);
  SUCCEEDS(trainer_predict(trainer, at(features(7)), 1, at(out)));
  wasmgrad_output_info* info = room(sizeof *info);
  unsigned char* buffer = room(83);
  info->rank = UNTOUCHED;
  RETURNS(WASMGRAD_TOO_LARGE, trainer_output(trainer, 0, at(info), at(buffer), 83, at(out + 1)));
  EQUALS(out[1], 84);
  EQUALS(info->rank, UNTOUCHED);
  for (int i = 0; i < 83; ++i) EQUALS(buffer[i], 0);
}

/* The model takes its batch's mean away, so that a prediction shows what was one batch. */
static void a_prediction_is_one_batch(void) {
  const uint32_t one = trainer_of("counting", "{'batch_size':2}");
  const uint32_t cut = trainer_of("counting", "{'predict_batch_size':1}");
  uint32_t* outputs = room(sizeof *outputs);
  uint32_t count = 0;
  SUCCEEDS(trainer_predict(one, at(features(7)), 1, at(outputs)));
  const float* values = output_of(one, 0, &count);
  REQUIRE(values != NULL && count == 7 * CLASSES);
  float largest = 0;
  for (int c = 0; c < CLASSES; ++c) {
    float sum = 0;
    for (int row = 0; row < 7; ++row) {
      sum += values[row * CLASSES + c];
      largest = fmaxf(largest, fabsf(values[row * CLASSES + c]));
    }
    NEAR(sum, 0, 1e-5);
  }
  REQUIRE(largest > 0.001F);
  SUCCEEDS(trainer_predict(cut, at(features(7)), 1, at(outputs)));
  values = output_of(cut, 0, &count);
  REQUIRE(values != NULL && count == 7 * CLASSES);
  for (uint32_t i = 0; i < count; ++i) NEAR(values[i], 0, 1e-6);
}

/* The model counts its calls in a buffer. */
static void evaluation_mode_leaves_no_trace(void) {
  const uint32_t trainer = trainer_of("counting", "{'batch_size':2}");
  uint32_t bytes = 0;
  uint32_t after_bytes = 0;
  const unsigned char* before = checkpoint_of(trainer, &bytes);
  SUCCEEDS(trainer_predict(trainer, at(features(7)), 1, at(room(sizeof(uint32_t)))));
  SUCCEEDS(trainer_evaluate(trainer, dataset_of_rows(7), at(new_metrics())));
  const unsigned char* after = checkpoint_of(trainer, &after_bytes);
  REQUIRE(before != NULL && after != NULL && bytes == after_bytes && memcmp(before, after, bytes) == 0);
}

static void outputs_stay_until_the_next_prediction(void) {
  const uint32_t trainer = trainer_of("linear", "{'optimizer':{'name':'sgd','learning_rate':1}}");
  uint32_t* out = room(sizeof *out);
  uint32_t count = 0;
  SUCCEEDS(trainer_predict(trainer, at(features(2)), 1, at(out)));
  const float* first = output_of(trainer, 0, &count);
  SUCCEEDS(trainer_step(trainer, at(features(3)), 1, at(classes(3)), 1, at(new_metrics())));
  const float* still = output_of(trainer, 0, &count);
  EQUALS(count, 2 * CLASSES);
  REQUIRE(first != NULL && still != NULL && memcmp(first, still, count * sizeof *still) == 0);
  SUCCEEDS(trainer_predict(trainer, at(features(2)), 1, at(out)));
  const float* moved = output_of(trainer, 0, &count);
  REQUIRE(moved != NULL && memcmp(first, moved, count * sizeof *moved) != 0);
}

static void outputs_that_are_not_there_are_refused(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t* out = room(sizeof *out);
  wasmgrad_output_info* info = room(sizeof *info);
  REFUSES(trainer_output(trainer, 0, at(info), at(info), 0, at(out)));
  SUCCEEDS(trainer_predict(trainer, at(features(2)), 1, at(out)));
  REFUSES(trainer_output(trainer, 1, at(info), at(info), 0, at(out)));
  REFUSES(trainer_output(trainer, UINT32_MAX, at(info), at(info), 0, at(out)));
}

static void inputs_are_scaled_as_the_options_say(void) {
  const uint32_t plain = trainer_of("linear", "{}");
  const uint32_t scaled = trainer_of("linear", "{'inputs':{'x':{'scale':0.5,'offset':2}}}");
  const float x[FEATURES] = {2, -4, 6, 0};
  const float same[FEATURES] = {3, 0, 5, 2};
  uint32_t* out = room(sizeof *out);
  uint32_t count = 0;
  SUCCEEDS(trainer_predict(scaled, at(list(matrix("x", WASMGRAD_TYPE_F32, x, 1, FEATURES))), 1, at(out)));
  SUCCEEDS(trainer_predict(plain, at(list(matrix("x", WASMGRAD_TYPE_F32, same, 1, FEATURES))), 1, at(out)));
  const float* got = output_of(scaled, 0, &count);
  const float* expected = output_of(plain, 0, &count);
  REQUIRE(got != NULL && expected != NULL);
  for (uint32_t i = 0; i < count; ++i) NEAR(got[i], expected[i], 1e-6);
}

/* ---- Several inputs, several outputs, a loss of the model's own ---- */

static void inputs_are_matched_by_name_or_by_position(void) {
  const uint32_t trainer = trainer_of("two-inputs", "{}");
  const float left[FEATURES] = {1, 2, 3, 4};
  const float right[FEATURES] = {4, 0, 1, 0};
  named_tensor by_name[2] = {matrix("left", WASMGRAD_TYPE_F32, left, 1, FEATURES),
                             matrix("right", WASMGRAD_TYPE_F32, right, 1, FEATURES)};
  named_tensor swapped[2] = {by_name[1], by_name[0]};
  named_tensor by_position[2] = {by_name[0], by_name[1]};
  by_position[0].name_bytes = by_position[1].name_bytes = 0;
  uint32_t* out = room(sizeof *out);
  uint32_t count = 0;
  const named_tensor* lists[3] = {by_name, swapped, by_position};
  const float* results[3];
  for (int i = 0; i < 3; ++i) {
    SUCCEEDS(trainer_predict(trainer, at(copied(lists[i], sizeof by_name)), 2, at(out)));
    results[i] = output_of(trainer, 0, &count);
    REQUIRE(results[i] != NULL);
    EQUALS(results[i][0], results[0][0]);
  }
  const float difference[FEATURES] = {-7, 2, 1, 4};
  double expected = 0.1;
  for (int i = 0; i < FEATURES; ++i) expected += difference[i] * i / 100;
  NEAR(results[0][0], expected, 1e-6);
}

static void inputs_that_are_missing_unknown_or_too_many_are_refused(void) {
  const uint32_t trainer = trainer_of("two-inputs", "{}");
  const named_tensor left = matrix("left", WASMGRAD_TYPE_F32, NULL, 1, FEATURES);
  const named_tensor right = matrix("right", WASMGRAD_TYPE_F32, NULL, 1, FEATURES);
  const named_tensor other = matrix("other", WASMGRAD_TYPE_F32, NULL, 1, FEATURES);
  const named_tensor unknown[3] = {left, other, right};
  uint32_t* out = room(sizeof *out);
  *out = UNTOUCHED;
  REFUSES(trainer_predict(trainer, at(list(left)), 1, at(out)));
  REFUSES(trainer_predict(trainer, at(copied(unknown, sizeof unknown)), 2, at(out)));
  REFUSES(trainer_predict(trainer, at(copied(unknown, sizeof unknown)), 3, at(out)));
  EQUALS(*out, UNTOUCHED);
}

static void several_outputs_train_with_a_loss_each(void) {
  const uint32_t trainer = trainer_of("two-outputs",
                                      "{'optimizer':{'name':'sgd','learning_rate':0.1},'loss':{'class':"
                                      "'cross_entropy','value':{'name':'mse','weight':0.5}}}");
  named_tensor* x = features(6);
  named_tensor y[2] = {matrix("value", WASMGRAD_TYPE_F32, (const float[]){1, 0, 1, 0, 1, 0}, 6, 1),
                       *classes(6)};
  y[1].name = text("class");
  y[1].name_bytes = 5;
  const address targets = at(copied(y, sizeof y));
  wasmgrad_metrics* metrics = new_metrics();
  SUCCEEDS(trainer_step(trainer, at(x), 1, targets, 2, at(metrics)));
  const double first = metrics->loss;
  REQUIRE(metrics->accuracy >= 0); /* of the classification */
  for (int i = 0; i < 20; ++i) SUCCEEDS(trainer_step(trainer, at(x), 1, targets, 2, at(metrics)));
  REQUIRE(metrics->loss < first);
  uint32_t* outputs = room(sizeof *outputs);
  SUCCEEDS(trainer_predict(trainer, at(x), 1, at(outputs)));
  EQUALS(*outputs, 2);
  uint32_t count = 0;
  REQUIRE(output_of(trainer, 0, &count) != NULL);
  EQUALS(count, 6 * CLASSES);
  REQUIRE(output_of(trainer, 1, &count) != NULL);
  EQUALS(count, 6);
}

static void a_model_trains_with_its_own_loss(void) {
  const uint32_t trainer =
      trainer_of("own-loss", "{'loss':'model','optimizer':{'name':'sgd','learning_rate':0.1}}");
  named_tensor* x = list(matrix("x", WASMGRAD_TYPE_F32, NULL, 2, FEATURES));
  named_tensor* y = list(matrix("target", WASMGRAD_TYPE_F32, (const float[]){1, 3}, 2, 1));
  wasmgrad_metrics* metrics = new_metrics();
  SUCCEEDS(trainer_step(trainer, at(x), 1, at(y), 1, at(metrics)));
  NEAR(metrics->loss, 1.9, 1e-6); /* the bias is 0.1 */
  EQUALS(metrics->accuracy, NAN);
  SUCCEEDS(trainer_step(trainer, at(x), 1, at(y), 1, at(metrics)));
  NEAR(metrics->loss, 1.8, 1e-6);
}

static void token_numbers_reach_an_embedding(void) {
  const uint32_t trainer = trainer_of("tokens", "{}");
  const int32_t tokens[10] = {0, 1, 2, 3, 4, 9, 9, 9, 9, 9};
  const int64_t wide[10] = {0, 1, 2, 3, 4, 9, 9, 9, 9, 9};
  uint32_t* out = room(sizeof *out);
  uint32_t count = 0;
  SUCCEEDS(trainer_predict(trainer, at(list(matrix("", WASMGRAD_TYPE_I32, tokens, 2, 5))), 1, at(out)));
  const float* narrow = output_of(trainer, 0, &count);
  SUCCEEDS(trainer_predict(trainer, at(list(matrix("", WASMGRAD_TYPE_I64, wide, 2, 5))), 1, at(out)));
  const float* same = output_of(trainer, 0, &count);
  EQUALS(count, 2 * CLASSES);
  REQUIRE(narrow != NULL && same != NULL && memcmp(narrow, same, count * sizeof *same) == 0);
  SUCCEEDS(trainer_step(trainer, at(list(matrix("", WASMGRAD_TYPE_I64, wide, 2, 5))), 1, at(classes(2)), 1,
                        at(new_metrics())));
}

void run_output_cases(void) {
  RUN(evaluation_changes_nothing);
  RUN(an_output_tells_its_type_and_shape);
  RUN(an_output_says_what_a_too_small_buffer_needs);
  RUN(outputs_stay_until_the_next_prediction);
  RUN(a_prediction_is_one_batch);
  RUN(evaluation_mode_leaves_no_trace);
  RUN(outputs_that_are_not_there_are_refused);
  RUN(inputs_are_scaled_as_the_options_say);
  RUN(inputs_are_matched_by_name_or_by_position);
  RUN(inputs_that_are_missing_unknown_or_too_many_are_refused);
  RUN(several_outputs_train_with_a_loss_each);
  RUN(a_model_trains_with_its_own_loss);
  RUN(token_numbers_reach_an_embedding);
}
