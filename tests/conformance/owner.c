/* What an owner's limit on epochs means to a guest. */
#include "suite.h"

static const char* const kOptions = "{'batch_size':8,'threads':1,'optimizer':'sgd'}";

enum { ROWS = 20 };

/* A trainer that has done all epochs that the owner allows; 0 when it could not. */
static uint32_t finished_trainer(uint32_t model, uint32_t data) {
  const uint32_t trainer = trainer_with(model, kOptions);
  void* report = room(sizeof(wasmgrad_fit_report));
  const uint32_t code = trainer_fit(trainer, data, 0, ALLOWED_EPOCHS, at(report));
  return expect_errno(__FILE__, __LINE__, "trainer_fit", code, WASMGRAD_SUCCESS) ? trainer : 0;
}

static void a_fit_ends_with_the_epochs_that_the_owner_allows(void) {
  const uint32_t trainer = trainer_of("linear", kOptions);
  const uint32_t data = dataset_of_rows(ROWS);
  wasmgrad_fit_report* report = room(sizeof *report);
  REQUIRE(trainer != 0 && data != 0);
  SUCCEEDS(trainer_fit(trainer, data, 0, ALLOWED_EPOCHS + 3, at(report)));
  EQUALS(report->epochs, ALLOWED_EPOCHS);
  EQUALS(report->stopped_early, 0);
  EQUALS(report->train.epoch, ALLOWED_EPOCHS);
}

static void epochs_beyond_them_are_interrupted_and_change_nothing(void) {
  const uint32_t data = dataset_of_rows(ROWS);
  const uint32_t trainer = finished_trainer(load("linear"), data);
  REQUIRE(trainer != 0 && data != 0);
  uint32_t count = 0;
  const float* before = parameters_of(trainer, &count);
  wasmgrad_fit_report* report = room(sizeof *report);
  wasmgrad_metrics* metrics = new_metrics();
  report->epochs = UNTOUCHED;
  metrics->loss = UNTOUCHED;
  RETURNS(WASMGRAD_INTERRUPTED, trainer_fit(trainer, data, 0, 1, at(report)));
  RETURNS(WASMGRAD_INTERRUPTED, trainer_epoch(trainer, data, at(metrics)));
  EQUALS(report->epochs, UNTOUCHED);
  EQUALS(metrics->loss, UNTOUCHED);
  const float* after = parameters_of(trainer, &count);
  REQUIRE(before != NULL && after != NULL && memcmp(before, after, count * sizeof *after) == 0);
  uint32_t* written = room(sizeof *written);
  SUCCEEDS(last_error(at(written), 0, at(written)));
  REQUIRE(*written > 0);
}

static void no_further_epochs_are_no_reason_to_interrupt(void) {
  const uint32_t data = dataset_of_rows(ROWS);
  const uint32_t trainer = finished_trainer(load("linear"), data);
  wasmgrad_fit_report* report = room(sizeof *report);
  report->epochs = UNTOUCHED;
  REQUIRE(trainer != 0 && data != 0);
  SUCCEEDS(trainer_fit(trainer, data, 0, 0, at(report)));
  EQUALS(report->epochs, 0);
}

static void an_interrupted_guest_can_judge_and_save_what_it_trained(void) {
  const uint32_t model = load("linear");
  const uint32_t data = dataset_of_rows(ROWS);
  const uint32_t trainer = finished_trainer(model, data);
  REQUIRE(trainer != 0 && data != 0);
  RETURNS(WASMGRAD_INTERRUPTED, trainer_epoch(trainer, data, at(new_metrics())));
  SUCCEEDS(trainer_evaluate(trainer, data, at(new_metrics())));
  uint32_t* out = room(sizeof *out);
  SUCCEEDS(trainer_predict(trainer, at(features(3)), 1, at(out)));
  uint32_t count = 0;
  REQUIRE(output_of(trainer, 0, &count) != NULL);
  REQUIRE(checkpoint_of(trainer, &count) != NULL);
  SUCCEEDS(model_export(model, WASMGRAD_ENCODING_TORCHSCRIPT, at(out), 0, at(out)));
}

static void epochs_before_a_checkpoint_count(void) {
  const uint32_t data = dataset_of_rows(ROWS);
  const uint32_t first = finished_trainer(load("linear"), data);
  const uint32_t second = trainer_of("linear", kOptions);
  uint32_t bytes = 0;
  const unsigned char* checkpoint = checkpoint_of(first, &bytes);
  REQUIRE(second != 0 && checkpoint != NULL);
  SUCCEEDS(trainer_restore(second, at(checkpoint), bytes));
  RETURNS(WASMGRAD_INTERRUPTED, trainer_epoch(second, data, at(new_metrics())));
}

static void every_trainer_has_the_epochs_of_its_own(void) {
  const uint32_t data = dataset_of_rows(ROWS);
  REQUIRE(finished_trainer(load("linear"), data) != 0);
  REQUIRE(finished_trainer(load("linear"), data) != 0);
}

void run_owner_cases(void) {
  RUN(a_fit_ends_with_the_epochs_that_the_owner_allows);
  RUN(epochs_beyond_them_are_interrupted_and_change_nothing);
  RUN(no_further_epochs_are_no_reason_to_interrupt);
  RUN(an_interrupted_guest_can_judge_and_save_what_it_trained);
  RUN(epochs_before_a_checkpoint_count);
  RUN(every_trainer_has_the_epochs_of_its_own);
}
