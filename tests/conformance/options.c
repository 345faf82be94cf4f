/* Options of a trainer, and the hyper-parameters that change later. */
#include "option_cases.h"
#include "suite.h"

/* ---- Options ---- */

static uint32_t create(uint32_t model, const char* options, uint32_t* trainer) {
  *trainer = UNTOUCHED;
  return trainer_create(model, json(options), (uint32_t)strlen(options), at(trainer));
}

static void creates_with(const char* const* options, int count) {
  for (int i = 0; i < count; ++i) {
    const uint32_t trainer = trainer_of("linear", options[i]);
    REQUIRE(trainer != 0);
    SUCCEEDS(trainer_close(trainer));
  }
}

static void every_option_is_taken(void) {
  const char* together[] = {
      "{}",
      " { 'optimizer' : 'adam' } ",
      "{'optimizer':{'name':'adam','learning_rate':0.001,'weight_decay':0.1,'beta1':0.8,"
      "'beta2':0.9,"
      "'epsilon':1e-6}}",
      "{'optimizer':{'name':'sgd','momentum':0.9,'nesterov':true}}",
      "{'schedule':{'name':'cosine','warmup_epochs':1,'minimum_factor':0.1},'epochs':5}",
      "{'inputs':{'x':{'scale':0.5,'offset':1}}}",
      "{'freeze':['fc.bias']}",
  };
  creates_with(together, (int)(sizeof together / sizeof *together));
  creates_with(kOptionsInRange, (int)(sizeof kOptionsInRange / sizeof *kOptionsInRange));
}

/* None of them takes the model. */
static void refuses(const char* const* options, int count) {
  const uint32_t model = load("linear");
  uint32_t* trainer = room(sizeof *trainer);
  for (int i = 0; i < count; ++i) {
    const uint32_t code = create(model, options[i], trainer);
    if (!expect_errno(__FILE__, __LINE__, options[i], code, WASMGRAD_INVALID_ARGUMENT)) return;
    EQUALS(*trainer, UNTOUCHED);
  }
  REQUIRE(trainer_with(model, "{}") != 0);
}

static void options_out_of_range_are_refused(void) {
  refuses(kOptionsOutOfRange, (int)(sizeof kOptionsOutOfRange / sizeof *kOptionsOutOfRange));
}

static void options_that_mean_nothing_are_refused(void) {
  const char* options[] = {
      "{'optimiser':'adam'}",
      "{'optimizer':7}",
      "{'optimizer':{'name':'adam','rate':1}}",
      "{'schedule':{'name':'cosine','warmup':1}}",
      "{'freeze':'fc.bias'}",
      "{'freeze':['none.*']}",
      "{'freeze':['*']}",
      "[]",
      "null",
      "'adam'",
  };
  refuses(options, (int)(sizeof options / sizeof *options));
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

/* ---- Hyper-parameters ---- */

static void every_hyper_parameter_is_taken(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  for (int i = 0; i < (int)(sizeof kSettings / sizeof *kSettings); ++i) {
    const uint32_t code = trainer_set(trainer, text(kSettings[i]), (uint32_t)strlen(kSettings[i]), 0.25);
    if (!expect_errno(__FILE__, __LINE__, kSettings[i], code, WASMGRAD_SUCCESS)) return;
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

void run_option_cases(void) {
  RUN(every_option_is_taken);
  RUN(options_out_of_range_are_refused);
  RUN(options_that_mean_nothing_are_refused);
  RUN(options_that_are_no_json_are_refused);
  RUN(names_that_the_model_does_not_have_are_refused_by_the_first_step);
  RUN(a_model_has_one_trainer_at_a_time);
  RUN(every_hyper_parameter_is_taken);
  RUN(a_learning_rate_counts_from_the_next_step_on);
  RUN(hyper_parameters_that_mean_nothing_are_refused);
}
