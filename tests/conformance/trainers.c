/* Trainers: passes over data, and single steps. */
#include "suite.h"

enum { ROWS = 20 };

/* ---- Passes over data ---- */

static void fit_trains_whole_epochs(void) {
  const uint32_t trainer =
      trainer_of("linear", "{'batch_size':8,'optimizer':{'name':'sgd','learning_rate':0.1}}");
  const uint32_t data = dataset_of_rows(ROWS);
  wasmgrad_fit_report* report = room(sizeof *report);
  memset(report, 0x5a, sizeof *report);
  REQUIRE(trainer != 0 && data != 0);
  SUCCEEDS(trainer_fit(trainer, data, 0, 2, at(report)));
  EQUALS(report->epochs, 2);
  EQUALS(report->stopped_early, 0);
  EQUALS(report->train.samples, ROWS);
  EQUALS(report->train.step, 6);
  EQUALS(report->train.epoch, 2);
  EQUALS(report->train.learning_rate, 0.1);
  REQUIRE(isfinite(report->train.loss) && report->train.loss > 0);
  REQUIRE(report->train.accuracy >= 0 && report->train.accuracy <= 1);
  EQUALS(report->train.top_k_accuracy, NAN); /* 3 classes are not more than 5 */
  REQUIRE(report->train.seconds >= 0);
  EQUALS(report->validation.loss, NAN);
  EQUALS(report->validation.accuracy, NAN);
  EQUALS(report->validation.learning_rate, NAN);
  EQUALS(report->validation.samples, 0);
  SUCCEEDS(trainer_fit(trainer, data, 0, 1, at(report))); /* more epochs, not all of them */
  EQUALS(report->epochs, 1);
  EQUALS(report->train.step, 9);
  EQUALS(report->train.epoch, 3);
}

static void fit_evaluates_validation_data(void) {
  const uint32_t trainer = trainer_of("linear", "{'optimizer':'sgd','top_k':2}");
  const uint32_t data = dataset_of_rows(ROWS);
  const uint32_t validation = dataset_of_rows(7);
  wasmgrad_fit_report* report = room(sizeof *report);
  wasmgrad_metrics* metrics = new_metrics();
  SUCCEEDS(trainer_fit(trainer, data, validation, 1, at(report)));
  EQUALS(report->validation.samples, 7);
  REQUIRE(report->validation.top_k_accuracy >= report->validation.accuracy);
  SUCCEEDS(trainer_evaluate(trainer, validation, at(metrics)));
  NEAR(report->validation.loss, metrics->loss, 1e-9);
  NEAR(report->validation.accuracy, metrics->accuracy, 0);
}

static void fit_stops_early(void) {
  const uint32_t trainer =
      trainer_of("linear", "{'optimizer':{'name':'sgd','learning_rate':0},'early_stopping':{'patience':2}}");
  const uint32_t data = dataset_of_rows(ROWS);
  wasmgrad_fit_report* report = room(sizeof *report);
  SUCCEEDS(trainer_fit(trainer, data, data, 50, at(report)));
  EQUALS(report->stopped_early, 1);
  EQUALS(report->epochs, 3); /* the first is the best, then two without improvement */
  wasmgrad_progress* progress = room(sizeof *progress);
  SUCCEEDS(trainer_progress(trainer, at(progress)));
  EQUALS(progress->best_epoch, 1);
  EQUALS(progress->shows_best, 1);
  EQUALS(progress->epoch, 3);
}

/* A learning rate at which training goes astray. */
#define ASTRAY \
  "{'optimizer':{'name':'sgd','learning_rate':50},'seed':1,'threads':1,'early_stopping':{'patience':2"

static void early_stopping_shows_the_best_epoch(void) {
  const uint32_t data = dataset_of_rows(ROWS);
  const uint32_t trainer = trainer_of("linear", ASTRAY "}}");
  wasmgrad_fit_report* report = room(sizeof *report);
  wasmgrad_progress* progress = room(sizeof *progress);
  wasmgrad_metrics* metrics = new_metrics();
  SUCCEEDS(trainer_fit(trainer, data, data, 50, at(report)));
  REQUIRE(report->stopped_early == 1);
  SUCCEEDS(trainer_progress(trainer, at(progress)));
  EQUALS(progress->shows_best, 1);
  REQUIRE(progress->best_epoch >= 1 && progress->best_epoch + 2 == progress->epoch);
  SUCCEEDS(trainer_evaluate(trainer, data, at(metrics)));
  NEAR(metrics->loss, progress->best_loss, 1e-6);
  REQUIRE(metrics->loss < report->validation.loss);

  const uint32_t last = trainer_of("linear", ASTRAY ",'restore_best':false}}");
  SUCCEEDS(trainer_fit(last, data, data, 50, at(report)));
  REQUIRE(report->stopped_early == 1);
  SUCCEEDS(trainer_evaluate(last, data, at(metrics)));
  NEAR(metrics->loss, report->validation.loss, 1e-6);

  /* What trains next goes on from the last epoch, best weights shown or not. */
  SUCCEEDS(trainer_epoch(trainer, data, at(metrics)));
  SUCCEEDS(trainer_epoch(last, data, at(metrics)));
  uint32_t count = 0;
  const float* one = parameters_of(trainer, &count);
  const float* other = parameters_of(last, &count);
  REQUIRE(one != NULL && other != NULL && memcmp(one, other, count * sizeof *other) == 0);
  SUCCEEDS(trainer_progress(trainer, at(progress)));
  EQUALS(progress->shows_best, 0);
}

static void progress_says_where_a_trainer_stands(void) {
  const uint32_t trainer = trainer_of("linear", "{'batch_size':8,'optimizer':'sgd'}");
  const uint32_t data = dataset_of_rows(ROWS);
  wasmgrad_progress* progress = room(sizeof *progress);
  memset(progress, 0x5a, sizeof *progress);
  SUCCEEDS(trainer_progress(trainer, at(progress)));
  EQUALS(progress->epoch, 0);
  EQUALS(progress->step, 0);
  EQUALS(progress->batch, 0);
  EQUALS(progress->best_epoch, 0);
  EQUALS(progress->best_loss, NAN);
  EQUALS(progress->resumed, 0);
  EQUALS(progress->shows_best, 0);
  EQUALS(progress->stop_requested, 0);
  SUCCEEDS(trainer_epoch(trainer, data, at(new_metrics())));
  SUCCEEDS(trainer_step(trainer, at(features(6)), 1, at(classes(6)), 1, at(new_metrics())));
  SUCCEEDS(trainer_progress(trainer, at(progress)));
  EQUALS(progress->epoch, 1);
  EQUALS(progress->step, 4);
}

static void epoch_trains_one(void) {
  const uint32_t trainer = trainer_of("linear", "{'batch_size':8,'optimizer':'sgd'}");
  const uint32_t data = dataset_of_rows(ROWS);
  wasmgrad_metrics* metrics = new_metrics();
  for (int epoch = 1; epoch <= 2; ++epoch) {
    SUCCEEDS(trainer_epoch(trainer, data, at(metrics)));
    EQUALS(metrics->samples, ROWS);
    EQUALS(metrics->step, 3 * epoch);
    EQUALS(metrics->epoch, epoch);
  }
}

static void epochs_one_by_one_are_fit(void) {
  const char* options =
      "{'batch_size':8,'seed':3,'threads':1,'optimizer':{'name':'adam','learning_rate':0.01}}";
  const uint32_t one = trainer_of("linear", options);
  const uint32_t other = trainer_of("linear", options);
  const uint32_t data = dataset_of_rows(ROWS);
  SUCCEEDS(trainer_fit(one, data, 0, 2, at(room(sizeof(wasmgrad_fit_report)))));
  SUCCEEDS(trainer_epoch(other, data, at(new_metrics())));
  SUCCEEDS(trainer_epoch(other, data, at(new_metrics())));
  uint32_t count = 0;
  const float* fitted = parameters_of(one, &count);
  const float* looped = parameters_of(other, &count);
  REQUIRE(fitted != NULL && looped != NULL && memcmp(fitted, looped, count * sizeof *looped) == 0);
}

static void an_empty_dataset_cannot_be_used(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  uint32_t* data = room(sizeof *data);
  REQUIRE(opened("dataset_create", dataset_create(at(data)), data, dataset_close) != 0);
  REFUSES(trainer_fit(trainer, *data, 0, 1, at(room(sizeof(wasmgrad_fit_report)))));
  REFUSES(trainer_epoch(trainer, *data, at(new_metrics())));
  REFUSES(trainer_evaluate(trainer, *data, at(new_metrics())));
}

static void targets_that_are_no_class_are_refused(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  named_tensor* y = list(matrix("", WASMGRAD_TYPE_I64, (const int64_t[]){0, 1, 3}, 3, 0));
  const uint32_t data = dataset_of(features(3), 1, y, 1);
  REQUIRE(trainer != 0 && data != 0);
  REFUSES(trainer_epoch(trainer, data, at(new_metrics())));
  REFUSES(trainer_step(trainer, at(features(3)), 1, at(y), 1, at(new_metrics())));
}

static void data_that_does_not_fit_the_model_is_refused(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  named_tensor* x = list(matrix("", WASMGRAD_TYPE_F32, NULL, 3, FEATURES + 1));
  named_tensor* y = classes(3);
  REQUIRE(trainer != 0);
  const uint32_t data = dataset_of(x, 1, y, 1);
  uint32_t* outputs = room(sizeof *outputs);
  REFUSES(trainer_epoch(trainer, data, at(new_metrics())));
  REFUSES(trainer_evaluate(trainer, data, at(new_metrics())));
  REFUSES(trainer_step(trainer, at(x), 1, at(y), 1, at(new_metrics())));
  REFUSES(trainer_predict(trainer, at(x), 1, at(outputs)));
}

/* ---- Steps ---- */

static void step_trains_one_batch(void) {
  const uint32_t trainer = trainer_of("linear", "{'optimizer':{'name':'sgd','learning_rate':0.5}}");
  named_tensor* x = features(6);
  named_tensor* y = classes(6);
  wasmgrad_metrics* metrics = new_metrics();
  SUCCEEDS(trainer_step(trainer, at(x), 1, at(y), 1, at(metrics)));
  const double first = metrics->loss;
  EQUALS(metrics->samples, 6);
  EQUALS(metrics->step, 1);
  EQUALS(metrics->epoch, 0);
  EQUALS(metrics->learning_rate, 0.5);
  for (int i = 0; i < 20; ++i) SUCCEEDS(trainer_step(trainer, at(x), 1, at(y), 1, at(metrics)));
  EQUALS(metrics->step, 21);
  REQUIRE(metrics->loss < first);
}

static void backward_then_apply_is_step(void) {
  const char* options = "{'threads':1,'optimizer':{'name':'adam','learning_rate':0.1}}";
  const uint32_t stepped = trainer_of("linear", options);
  const uint32_t applied = trainer_of("linear", options);
  named_tensor* x = features(6);
  named_tensor* y = classes(6);
  wasmgrad_metrics* metrics = new_metrics();
  for (int i = 0; i < 3; ++i) {
    SUCCEEDS(trainer_step(stepped, at(x), 1, at(y), 1, at(metrics)));
    SUCCEEDS(trainer_backward(applied, at(x), 1, at(y), 1, at(metrics)));
    EQUALS(metrics->step, i);
    SUCCEEDS(trainer_apply(applied));
  }
  uint32_t count = 0;
  const float* one = parameters_of(stepped, &count);
  const float* other = parameters_of(applied, &count);
  REQUIRE(one != NULL && other != NULL);
  for (uint32_t i = 0; i < count; ++i) NEAR(other[i], one[i], 1e-6);
}

static void apply_needs_gradients(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  REQUIRE(trainer != 0);
  REFUSES(trainer_apply(trainer));
  SUCCEEDS(trainer_backward(trainer, at(features(3)), 1, at(classes(3)), 1, at(new_metrics())));
  SUCCEEDS(trainer_apply(trainer));
  REFUSES(trainer_apply(trainer)); /* they were cleared */
}

static void a_step_that_is_not_finite_fails(void) {
  const uint32_t trainer = trainer_of("linear", "{'optimizer':'sgd'}");
  float values[FEATURES] = {INFINITY, 0, 0, 0};
  named_tensor* x = list(matrix("", WASMGRAD_TYPE_F32, values, 1, FEATURES));
  uint32_t count = 0;
  const float* before = parameters_of(trainer, &count);
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_step(trainer, at(x), 1, at(classes(1)), 1, at(new_metrics())));
  const float* after = parameters_of(trainer, &count);
  REQUIRE(before != NULL && after != NULL && memcmp(before, after, count * sizeof *after) == 0);
}

/* ---- What an error leaves ---- */

/* 20 rows, of which row 17 is in the third batch of 8; its loss is not finite. */
static uint32_t dataset_that_fails(void) {
  named_tensor* x = features(ROWS);
  float values[ROWS * FEATURES] = {0};
  values[17 * FEATURES] = NAN;
  *x = matrix("", WASMGRAD_TYPE_F32, values, ROWS, FEATURES);
  return dataset_of(x, 1, classes(ROWS), 1);
}

static const char* const kInOrder =
    "{'batch_size':8,'shuffle':false,'threads':1,'optimizer':{'name':'adam','learning_rate':0.1}}";
static const char* const kRestoring =
    "{'batch_size':8,'shuffle':false,'threads':1,'restore_on_error':true,"
    "'optimizer':{'name':'adam','learning_rate':0.1}}";

static void a_step_that_fails_leaves_no_trace(void) {
  const uint32_t trainer = trainer_of("convolution", "{'threads':1}");
  static float pixels[2 * 36];
  pixels[5] = NAN;
  const uint32_t dims[] = {2, 1, 6, 6};
  named_tensor* x = list(tensor("", WASMGRAD_TYPE_F32, pixels, 4, dims));
  uint32_t bytes = 0;
  uint32_t after_bytes = 0;
  const unsigned char* before = checkpoint_of(trainer, &bytes);
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_step(trainer, at(x), 1, at(classes(2)), 1, at(new_metrics())));
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_backward(trainer, at(x), 1, at(classes(2)), 1, at(new_metrics())));
  const unsigned char* after = checkpoint_of(trainer, &after_bytes);
  REQUIRE(before != NULL && after != NULL && bytes == after_bytes && memcmp(before, after, bytes) == 0);
}

static void an_epoch_that_fails_keeps_the_steps_before(void) {
  const uint32_t whole = trainer_of("linear", kInOrder);
  const uint32_t failed = trainer_of("linear", kInOrder);
  const uint32_t bad = dataset_that_fails();
  named_tensor* x = features(ROWS);
  *x = matrix("", WASMGRAD_TYPE_F32, NULL, ROWS, FEATURES);
  const uint32_t good = dataset_of(x, 1, classes(ROWS), 1);
  wasmgrad_metrics* metrics = new_metrics();
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_epoch(failed, bad, at(metrics)));
  EQUALS(metrics->samples, 16);
  EQUALS(metrics->step, 2);
  EQUALS(metrics->epoch, 0);
  EQUALS(metrics->learning_rate, 0.1);
  REQUIRE(isfinite(metrics->loss));
  memset(metrics, 0x5a, sizeof *metrics);
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_epoch(failed, bad, at(metrics))); /* the same batch: no step now */
  EQUALS(metrics->samples, 0x5a5a5a5a5a5a5a5aU);
  SUCCEEDS(trainer_epoch(failed, good, at(metrics)));
  EQUALS(metrics->samples, ROWS);
  EQUALS(metrics->step, 3);
  SUCCEEDS(trainer_epoch(whole, good, at(metrics)));
  uint32_t bytes = 0;
  uint32_t other_bytes = 0;
  const unsigned char* one = checkpoint_of(whole, &bytes);
  const unsigned char* other = checkpoint_of(failed, &other_bytes);
  REQUIRE(one != NULL && other != NULL && bytes == other_bytes && memcmp(one, other, bytes) == 0);
}

static void a_fit_that_fails_reports_the_steps_before(void) {
  const uint32_t trainer = trainer_of("linear", kInOrder);
  wasmgrad_fit_report* report = room(sizeof *report);
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_fit(trainer, dataset_that_fails(), 0, 3, at(report)));
  EQUALS(report->epochs, 0);
  EQUALS(report->stopped_early, 0);
  EQUALS(report->train.samples, 16);
  EQUALS(report->train.step, 2);
  EQUALS(report->validation.samples, 0);
}

static void an_epoch_that_fails_goes_on_with_other_data(void) {
  const uint32_t trainer = trainer_of("linear", kInOrder);
  wasmgrad_metrics* metrics = new_metrics();
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_epoch(trainer, dataset_that_fails(), at(metrics)));
  SUCCEEDS(trainer_epoch(trainer, dataset_of_rows(9), at(metrics)));
  EQUALS(metrics->samples, 9);
  EQUALS(metrics->step, 4);
  EQUALS(metrics->epoch, 1);
}

static void restoring_goes_back_to_before_the_call(void) {
  const uint32_t trainer = trainer_of("linear", kRestoring);
  const uint32_t bad = dataset_that_fails();
  wasmgrad_metrics* metrics = new_metrics();
  wasmgrad_fit_report* report = room(sizeof *report);
  SUCCEEDS(trainer_epoch(trainer, dataset_of_rows(ROWS), at(metrics)));
  uint32_t bytes = 0;
  uint32_t after_bytes = 0;
  const unsigned char* before = checkpoint_of(trainer, &bytes);
  memset(metrics, 0x5a, sizeof *metrics);
  memset(report, 0x5a, sizeof *report);
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_epoch(trainer, bad, at(metrics)));
  RETURNS(WASMGRAD_RUNTIME_ERROR, trainer_fit(trainer, bad, 0, 2, at(report)));
  EQUALS(metrics->samples, 0x5a5a5a5a5a5a5a5aU);
  EQUALS(report->epochs, UNTOUCHED);
  const unsigned char* after = checkpoint_of(trainer, &after_bytes);
  REQUIRE(before != NULL && after != NULL && bytes == after_bytes && memcmp(before, after, bytes) == 0);
}

void run_trainer_cases(void) {
  RUN(fit_trains_whole_epochs);
  RUN(fit_evaluates_validation_data);
  RUN(fit_stops_early);
  RUN(early_stopping_shows_the_best_epoch);
  RUN(progress_says_where_a_trainer_stands);
  RUN(epoch_trains_one);
  RUN(epochs_one_by_one_are_fit);
  RUN(an_empty_dataset_cannot_be_used);
  RUN(targets_that_are_no_class_are_refused);
  RUN(data_that_does_not_fit_the_model_is_refused);
  RUN(step_trains_one_batch);
  RUN(backward_then_apply_is_step);
  RUN(apply_needs_gradients);
  RUN(a_step_that_is_not_finite_fails);
  RUN(a_step_that_fails_leaves_no_trace);
  RUN(an_epoch_that_fails_keeps_the_steps_before);
  RUN(a_fit_that_fails_reports_the_steps_before);
  RUN(an_epoch_that_fails_goes_on_with_other_data);
  RUN(restoring_goes_back_to_before_the_call);
}
