/* Trainers: options, passes over data, steps, evaluation, prediction, hyper-parameters. */
#include "suite.h"

enum { ROWS = 20 };

static wasmgrad_metrics* new_metrics(void) { return room(sizeof(wasmgrad_metrics)); }

/* ---- Options ---- */

static uint32_t create(uint32_t model, const char* options, uint32_t* trainer) {
  *trainer = UNTOUCHED;
  return trainer_create(model, json(options), (uint32_t)strlen(options), at(trainer));
}

static void every_option_is_taken(void) {
  const char* options[] = {
      "{}",
      " { 'optimizer' : 'adam' } ",
      "{'optimizer':'adamw'}",
      "{'optimizer':'sgd'}",
      "{'optimizer':'rmsprop'}",
      "{'optimizer':{'name':'adam','learning_rate':0.001,'weight_decay':0.1,'beta1':0.8,"
      "'beta2':0.9,"
      "'epsilon':1e-6}}",
      "{'optimizer':{'name':'sgd','momentum':0.9,'nesterov':true}}",
      "{'optimizer':{'name':'rmsprop','momentum':0.5,'alpha':0.9}}",
      "{'loss':'cross_entropy'}",
      "{'loss':'cross_entropy_probabilities'}",
      "{'loss':'mse'}",
      "{'loss':'l1'}",
      "{'loss':'huber'}",
      "{'loss':'bce_with_logits'}",
      "{'schedule':'constant'}",
      "{'schedule':{'name':'step','step_epochs':2,'gamma':0.5}}",
      "{'schedule':{'name':'cosine','warmup_epochs':1,'minimum_factor':0.1},'epochs':5}",
      "{'epochs':3,'batch_size':7,'batches_per_epoch':2,'shuffle':false,'seed':42,'threads':1}",
      "{'accumulate':4,'clip_norm':1.5,'clip_value':0.5,'top_k':2}",
      "{'early_stopping':{'patience':3,'min_delta':0.01}}",
      "{'inputs':{'x':{'scale':0.5,'offset':1}}}",
      "{'freeze':['fc.bias']}",
  };
  for (int i = 0; i < (int)(sizeof options / sizeof *options); ++i) {
    const uint32_t trainer = trainer_of("linear", options[i]);
    REQUIRE(trainer != 0);
    SUCCEEDS(trainer_close(trainer));
  }
}

static void options_that_mean_nothing_are_refused(void) {
  const char* options[] = {
      "{'optimiser':'adam'}",
      "{'optimizer':'newton'}",
      "{'optimizer':7}",
      "{'optimizer':{'name':'adam','rate':1}}",
      "{'optimizer':{'name':'adam','learning_rate':-1}}",
      "{'optimizer':{'name':'adam','learning_rate':'fast'}}",
      "{'optimizer':{'name':'adam','beta1':1}}",
      "{'loss':'hinge'}",
      "{'schedule':'random'}",
      "{'schedule':{'name':'cosine','warmup':1}}",
      "{'batch_size':0}",
      "{'batch_size':1.5}",
      "{'shuffle':1}",
      "{'accumulate':0}",
      "{'clip_norm':-1}",
      "{'early_stopping':{'patience':-1}}",
      "{'freeze':'fc.bias'}",
      "{'freeze':['none.*']}",
      "{'freeze':['*']}",
      "[]",
      "null",
      "'adam'",
  };
  const uint32_t model = load("linear");
  uint32_t* trainer = room(sizeof *trainer);
  for (int i = 0; i < (int)(sizeof options / sizeof *options); ++i) {
    const uint32_t code = create(model, options[i], trainer);
    if (!expect_errno(__FILE__, __LINE__, options[i], code, WASMGRAD_INVALID_ARGUMENT)) return;
    EQUALS(*trainer, UNTOUCHED);
  }
  REQUIRE(trainer_with(model, "{}") != 0); /* none of them took the model */
}

static void options_that_are_no_json_are_refused(void) {
  const char* options[] = {"", "{", "{'epochs':1", "{epochs:1}", "\xff\xfe"};
  const uint32_t model = load("linear");
  uint32_t* trainer = room(sizeof *trainer);
  for (int i = 0; i < (int)(sizeof options / sizeof *options); ++i) {
    const uint32_t code = create(model, options[i], trainer);
    if (!expect_errno(__FILE__, __LINE__, options[i], code, WASMGRAD_INVALID_ENCODING)) return;
    EQUALS(*trainer, UNTOUCHED);
  }
  REQUIRE(trainer_with(model, "{}") != 0);
}

/* A host may know what a model's inputs and outputs are called only when it has run. */
static void names_that_the_model_does_not_have_are_refused_by_the_first_step(void) {
  const char* options[] = {"{'loss':{'none':'mse'}}", "{'inputs':{'none':{'scale':1}}}"};
  for (int i = 0; i < 2; ++i) {
    const uint32_t model = load("linear");
    uint32_t* trainer = room(sizeof *trainer);
    uint32_t code = create(model, options[i], trainer);
    if (code == WASMGRAD_SUCCESS) {
      code = trainer_step(*trainer, at(features(3)), 1, at(classes(3)), 1, at(new_metrics()));
      SUCCEEDS(trainer_close(*trainer));
    }
    if (!expect_errno(__FILE__, __LINE__, options[i], code, WASMGRAD_INVALID_ARGUMENT)) return;
  }
}

static void a_model_has_one_trainer_at_a_time(void) {
  const uint32_t model = load("linear");
  const uint32_t trainer = trainer_with(model, "{}");
  uint32_t* second = room(sizeof *second);
  REQUIRE(trainer != 0);
  RETURNS(WASMGRAD_INVALID_ARGUMENT, create(model, "{}", second));
  EQUALS(*second, UNTOUCHED);
  SUCCEEDS(trainer_close(trainer));
  REQUIRE(trainer_with(model, "{}") != 0);
}

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

/* ---- Hyper-parameters ---- */

static void every_hyper_parameter_is_taken(void) {
  const char* keys[] = {"learning_rate", "weight_decay", "momentum",  "beta1",     "beta2",
                        "epsilon",       "alpha",        "clip_norm", "clip_value"};
  const uint32_t trainer = trainer_of("linear", "{}");
  for (int i = 0; i < (int)(sizeof keys / sizeof *keys); ++i) {
    const uint32_t code = trainer_set(trainer, text(keys[i]), (uint32_t)strlen(keys[i]), 0.25);
    if (!expect_errno(__FILE__, __LINE__, keys[i], code, WASMGRAD_SUCCESS)) return;
  }
  SUCCEEDS(trainer_set(trainer, text("clip_norm"), 9, 0));
  SUCCEEDS(trainer_set(trainer, text("clip_value"), 10, 0));
}

static void a_learning_rate_counts_from_the_next_step_on(void) {
  const uint32_t trainer = trainer_of("linear", "{'optimizer':{'name':'sgd','learning_rate':0.1}}");
  named_tensor* x = features(3);
  named_tensor* y = classes(3);
  wasmgrad_metrics* metrics = new_metrics();
  SUCCEEDS(trainer_set(trainer, text("learning_rate"), 13, 0));
  uint32_t count = 0;
  const float* before = parameters_of(trainer, &count);
  SUCCEEDS(trainer_step(trainer, at(x), 1, at(y), 1, at(metrics)));
  EQUALS(metrics->learning_rate, 0);
  const float* after = parameters_of(trainer, &count);
  REQUIRE(before != NULL && after != NULL && memcmp(before, after, count * sizeof *after) == 0);
  SUCCEEDS(trainer_set(trainer, text("learning_rate"), 13, 0.25));
  SUCCEEDS(trainer_step(trainer, at(x), 1, at(y), 1, at(metrics)));
  EQUALS(metrics->learning_rate, 0.25);
}

static void hyper_parameters_that_mean_nothing_are_refused(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  RETURNS(WASMGRAD_NOT_FOUND, trainer_set(trainer, text("none"), 4, 1));
  RETURNS(WASMGRAD_NOT_FOUND, trainer_set(trainer, text("learning_rate"), 12, 0.1));
  REFUSES(trainer_set(trainer, text("learning_rate"), 13, -1));
  REFUSES(trainer_set(trainer, text("learning_rate"), 13, NAN));
  REFUSES(trainer_set(trainer, text("learning_rate"), 13, INFINITY));
  REFUSES(trainer_set(trainer, text("beta1"), 5, 1));
  REFUSES(trainer_set(trainer, text("clip_norm"), 9, -1));
  wasmgrad_metrics* metrics = new_metrics();
  SUCCEEDS(trainer_step(trainer, at(features(3)), 1, at(classes(3)), 1, at(metrics)));
  NEAR(metrics->learning_rate, 1e-4, 1e-12); /* the default */
}

void run_trainer_cases(void) {
  RUN(every_option_is_taken);
  RUN(options_that_mean_nothing_are_refused);
  RUN(options_that_are_no_json_are_refused);
  RUN(names_that_the_model_does_not_have_are_refused_by_the_first_step);
  RUN(a_model_has_one_trainer_at_a_time);
  RUN(fit_trains_whole_epochs);
  RUN(fit_evaluates_validation_data);
  RUN(fit_stops_early);
  RUN(epoch_trains_one);
  RUN(epochs_one_by_one_are_fit);
  RUN(an_empty_dataset_cannot_be_used);
  RUN(targets_that_are_no_class_are_refused);
  RUN(data_that_does_not_fit_the_model_is_refused);
  RUN(step_trains_one_batch);
  RUN(backward_then_apply_is_step);
  RUN(apply_needs_gradients);
  RUN(a_step_that_is_not_finite_fails);
  RUN(evaluation_changes_nothing);
  RUN(an_output_tells_its_type_and_shape);
  RUN(an_output_says_what_a_too_small_buffer_needs);
  RUN(outputs_stay_until_the_next_prediction);
  RUN(outputs_that_are_not_there_are_refused);
  RUN(inputs_are_scaled_as_the_options_say);
  RUN(inputs_are_matched_by_name_or_by_position);
  RUN(inputs_that_are_missing_unknown_or_too_many_are_refused);
  RUN(several_outputs_train_with_a_loss_each);
  RUN(a_model_trains_with_its_own_loss);
  RUN(token_numbers_reach_an_embedding);
  RUN(every_hyper_parameter_is_taken);
  RUN(a_learning_rate_counts_from_the_next_step_on);
  RUN(hyper_parameters_that_mean_nothing_are_refused);
}
