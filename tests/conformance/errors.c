/* What every function has in common: the last error, handles, enumerators, and addresses outside the memory.
 */
#include <stdio.h>

#include "suite.h"

/* ---- The last error ---- */

static void last_error_is_empty_before_the_first_failure(void) {
  uint32_t* written = room(sizeof *written);
  *written = UNTOUCHED;
  SUCCEEDS(last_error(at(written), 0, at(written)));
  EQUALS(*written, 0);
}

static void last_error_tells_its_size_and_its_text(void) {
  REFUSES(dataset_close(0));
  uint32_t* written = room(sizeof *written);
  SUCCEEDS(last_error(at(written), 0, at(written)));
  const uint32_t size = *written;
  REQUIRE(size > 0);
  char* sentence = room(size + 1);
  SUCCEEDS(last_error(at(sentence), size + 1, at(written)));
  EQUALS(*written, size);
  EQUALS(sentence[size], 0);
  EQUALS(strlen(sentence), size);
}

static void a_guest_alone_is_the_first_of_one_process(void) {
  uint32_t* group = room(2 * sizeof *group);
  group[0] = group[1] = UNTOUCHED;
  SUCCEEDS(process_group(at(group), at(group + 1)));
  EQUALS(group[0], 0);
  EQUALS(group[1], 1);
}

static void process_group_refuses_addresses_outside_the_memory(void) {
  uint32_t* number = room(sizeof *number);
  *number = UNTOUCHED;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(process_group(bad_address(i, 4), at(number)));
    REFUSES(process_group(at(number), bad_address(i, 4)));
  }
  EQUALS(*number, UNTOUCHED);
}

static void a_configuration_without_a_name_is_not_found(void) {
  uint32_t* written = room(sizeof *written);
  *written = UNTOUCHED;
  RETURNS(WASMGRAD_NOT_FOUND, run_config(text("no such name"), 12, at(written), 0, at(written)));
  RETURNS(WASMGRAD_NOT_FOUND, run_config(text(""), 0, at(written), 0, at(written)));
  EQUALS(*written, UNTOUCHED);
}

static void the_owner_is_told_any_number_under_a_name(void) {
  const double values[] = {0.25, -1e300, INFINITY, NAN};
  for (int i = 0; i < 4; ++i) SUCCEEDS(run_report(text("recall"), 6, values[i]));
  REFUSES(run_report(text(""), 0, 1));
  REFUSES(run_report(text("\xff"), 1, 1));
}

static void runs_refuse_addresses_outside_the_memory(void) {
  uint32_t* written = room(sizeof *written);
  *written = UNTOUCHED;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(run_config(bad_address(i, 4), 4, at(written), 0, at(written)));
    REFUSES(run_config(text("rate"), 4, bad_address(i, 64), 64, at(written)));
    REFUSES(run_config(text("rate"), 4, at(written), 0, bad_address(i, 4)));
    REFUSES(run_report(bad_address(i, 4), 4, 1));
  }
  REFUSES(run_report(text("rate"), UINT32_MAX, 1));
  EQUALS(*written, UNTOUCHED);
}

static void last_error_stays_after_a_call_that_succeeds(void) {
  REFUSES(dataset_close(0));
  uint32_t* sizes = room(2 * sizeof *sizes);
  SUCCEEDS(last_error(at(sizes), 0, at(sizes)));
  REQUIRE(dataset_of_rows(3) != 0);
  SUCCEEDS(last_error(at(sizes), 0, at(sizes + 1)));
  EQUALS(sizes[1], sizes[0]);
}

static void last_error_says_what_a_too_small_buffer_needs(void) {
  REFUSES(dataset_close(0));
  uint32_t* written = room(sizeof *written);
  SUCCEEDS(last_error(at(written), 0, at(written)));
  const uint32_t size = *written;
  *written = 0;
  unsigned char* buffer = room(size);
  RETURNS(WASMGRAD_TOO_LARGE, last_error(at(buffer), size - 1, at(written)));
  EQUALS(*written, size);
  for (uint32_t i = 0; i < size; ++i) EQUALS(buffer[i], 0);
}

static void last_error_refuses_addresses_outside_the_memory(void) {
  REFUSES(dataset_close(0));
  uint32_t* written = room(sizeof *written);
  *written = UNTOUCHED;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(last_error(bad_address(i, 64), 64, at(written)));
    REFUSES(last_error(at(room(64)), 64, bad_address(i, 4)));
  }
  EQUALS(*written, UNTOUCHED);
}

/* ---- Handles ---- */

/* Numbers that are no handle of the kind: 0, closed, of another kind, never given out. */
enum { BAD_HANDLES = 5 };
typedef struct bad_handles {
  uint32_t of[BAD_HANDLES];
} bad_handles;

static bad_handles bad_handles_of(uint32_t closed, uint32_t foreign) {
  const bad_handles bad = {{0, closed, foreign, 0x7fffffff, UINT32_MAX}};
  return bad;
}

static void models_refuse_wrong_handles(void) {
  const uint32_t model = load("linear");
  const uint32_t dataset = dataset_of_rows(3);
  REQUIRE(model != 0 && dataset != 0);
  SUCCEEDS(model_close(model));
  const bad_handles bad = bad_handles_of(model, dataset);
  uint32_t* written = room(sizeof *written);
  uint32_t* trainer = room(sizeof *trainer);
  *written = *trainer = UNTOUCHED;
  for (int i = 0; i < BAD_HANDLES; ++i) {
    REFUSES(model_export(bad.of[i], WASMGRAD_ENCODING_TORCHSCRIPT, at(written), 0, at(written)));
    REFUSES(model_close(bad.of[i]));
    REFUSES(trainer_create(bad.of[i], text("{}"), 2, at(trainer)));
  }
  EQUALS(*written, UNTOUCHED);
  EQUALS(*trainer, UNTOUCHED);
  uint64_t* rows = room(sizeof *rows);
  SUCCEEDS(dataset_size(dataset, at(rows))); /* the dataset that was taken for a model lives */
  EQUALS(*rows, 3);
}

static void datasets_refuse_wrong_handles(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  const uint32_t dataset = dataset_of_rows(3);
  REQUIRE(trainer != 0 && dataset != 0);
  SUCCEEDS(dataset_close(dataset));
  const bad_handles bad = bad_handles_of(dataset, trainer);
  named_tensor* x = features(3);
  named_tensor* y = classes(3);
  double* fraction = copied(&(double){0.5}, sizeof *fraction);
  uint32_t* part = room(sizeof *part);
  uint64_t* rows = room(sizeof *rows);
  wasmgrad_metrics* metrics = room(sizeof *metrics);
  *part = UNTOUCHED;
  *rows = UNTOUCHED;
  metrics->loss = UNTOUCHED;
  for (int i = 0; i < BAD_HANDLES; ++i) {
    REFUSES(dataset_append(bad.of[i], at(x), 1, at(y), 1));
    REFUSES(dataset_split(bad.of[i], at(fraction), 1, 0, at(part)));
    REFUSES(dataset_size(bad.of[i], at(rows)));
    REFUSES(dataset_close(bad.of[i]));
    REFUSES(trainer_epoch(trainer, bad.of[i], at(metrics)));
    REFUSES(trainer_evaluate(trainer, bad.of[i], at(metrics)));
    REFUSES(trainer_fit(trainer, bad.of[i], 0, 1, at(room(sizeof(wasmgrad_fit_report)))));
  }
  EQUALS(*part, UNTOUCHED);
  EQUALS(*rows, UNTOUCHED);
  EQUALS(metrics->loss, UNTOUCHED);
  const uint32_t data = dataset_of_rows(3);
  for (int i = 1; i < BAD_HANDLES; ++i) { /* 0 is: no validation */
    REFUSES(trainer_fit(trainer, data, bad.of[i], 1, at(room(sizeof(wasmgrad_fit_report)))));
  }
}

static void trainers_refuse_wrong_handles(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  const uint32_t data = dataset_of_rows(3);
  REQUIRE(trainer != 0 && data != 0);
  SUCCEEDS(trainer_close(trainer));
  const bad_handles bad = bad_handles_of(trainer, data);
  named_tensor* x = features(3);
  named_tensor* y = classes(3);
  void* out = room(sizeof(wasmgrad_fit_report));
  uint32_t* written = room(sizeof *written);
  *written = UNTOUCHED;
  for (int i = 0; i < BAD_HANDLES; ++i) {
    const uint32_t handle = bad.of[i];
    REFUSES(trainer_fit(handle, data, 0, 1, at(out)));
    REFUSES(trainer_epoch(handle, data, at(out)));
    REFUSES(trainer_step(handle, at(x), 1, at(y), 1, at(out)));
    REFUSES(trainer_backward(handle, at(x), 1, at(y), 1, at(out)));
    REFUSES(trainer_apply(handle));
    REFUSES(trainer_evaluate(handle, data, at(out)));
    REFUSES(trainer_predict(handle, at(x), 1, at(written)));
    REFUSES(trainer_output(handle, 0, at(out), at(out), 0, at(written)));
    REFUSES(trainer_set(handle, text("learning_rate"), 13, 0.1));
    REFUSES(trainer_parameters(handle, at(out), 0, at(written)));
    REFUSES(trainer_set_parameters(handle, at(out), 60));
    REFUSES(trainer_buffers(handle, at(out), 0, at(written)));
    REFUSES(trainer_set_buffers(handle, at(out), 0));
    REFUSES(trainer_gradients(handle, at(out), 0, at(written)));
    REFUSES(trainer_set_gradients(handle, at(out), 60));
    REFUSES(trainer_checkpoint(handle, at(out), 0, at(written)));
    REFUSES(trainer_restore(handle, at(out), 60));
    REFUSES(trainer_close(handle));
  }
  EQUALS(*written, UNTOUCHED);
}

static void handles_are_never_used_again(void) {
  uint32_t* made = room(64 * sizeof *made);
  for (int i = 0; i < 64; ++i) {
    SUCCEEDS(dataset_create(at(made + i)));
    REQUIRE(made[i] != 0);
    SUCCEEDS(dataset_close(made[i]));
    for (int j = 0; j < i; ++j) REQUIRE(made[j] != made[i]);
  }
}

static void too_many_handles_are_refused_and_closing_makes_room(void) {
  enum { MOST = 1 << 17 };
  uint32_t* made = room(MOST * sizeof *made);
  uint32_t code = WASMGRAD_SUCCESS;
  int count = 0;
  while (count < MOST && code == WASMGRAD_SUCCESS) {
    made[count] = UNTOUCHED;
    code = dataset_create(at(made + count));
    count += code == WASMGRAD_SUCCESS;
  }
  if (code != WASMGRAD_SUCCESS) {
    RETURNS(WASMGRAD_TOO_LARGE, code);
    EQUALS(made[count], UNTOUCHED);
    SUCCEEDS(dataset_close(made[--count]));
    SUCCEEDS(dataset_create(at(made + count)));
    ++count;
  }
  while (count > 0) SUCCEEDS(dataset_close(made[--count]));
}

/* ---- Enumerators ---- */

static void enumerators_that_do_not_exist_are_refused(void) {
  uint32_t bytes = 0;
  unsigned char* archive = file("linear.pt", &bytes);
  const uint32_t model = load("linear");
  REQUIRE(archive != NULL && model != 0);
  uint32_t* out = room(sizeof *out);
  *out = UNTOUCHED;
  const uint32_t none[] = {4, 0x100, UINT32_MAX};
  for (int i = 0; i < 3; ++i) {
    REFUSES(model_load(at(archive), bytes, none[i], WASMGRAD_TARGET_CPU, at(out)));
    REFUSES(model_load(at(archive), bytes, WASMGRAD_ENCODING_TORCHSCRIPT, none[i], at(out)));
    REFUSES(model_load_by_name(text("linear"), 6, none[i], at(out)));
    REFUSES(model_export(model, none[i], at(out), 0, at(out)));
  }
  EQUALS(*out, UNTOUCHED);
}

static void enumerators_of_the_other_direction_are_refused(void) {
  uint32_t bytes = 0;
  unsigned char* archive = file("linear.pt", &bytes);
  const uint32_t model = load("linear");
  REQUIRE(archive != NULL && model != 0);
  uint32_t* out = room(sizeof *out);
  *out = UNTOUCHED;
  REFUSES(model_load(at(archive), bytes, WASMGRAD_ENCODING_SAFETENSORS, WASMGRAD_TARGET_CPU, at(out)));
  REFUSES(model_export(model, WASMGRAD_ENCODING_AUTODETECT, at(out), 0, at(out)));
  REFUSES(model_export(model, WASMGRAD_ENCODING_TORCH_EXPORT, at(out), 0, at(out)));
  EQUALS(*out, UNTOUCHED);
}

/* ---- Addresses outside the memory ---- */

static void models_refuse_addresses_outside_the_memory(void) {
  uint32_t bytes = 0;
  unsigned char* archive = file("linear.pt", &bytes);
  const uint32_t model = load("linear");
  REQUIRE(archive != NULL && model != 0);
  uint32_t* out = room(sizeof *out);
  *out = UNTOUCHED;
  const uint32_t encoding = WASMGRAD_ENCODING_TORCHSCRIPT;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(model_load(bad_address(i, bytes), bytes, encoding, WASMGRAD_TARGET_CPU, at(out)));
    REFUSES(model_load(at(archive), bytes, encoding, WASMGRAD_TARGET_CPU, bad_address(i, 4)));
    REFUSES(model_load_by_name(bad_address(i, 6), 6, WASMGRAD_TARGET_CPU, at(out)));
    REFUSES(model_load_by_name(text("linear"), 6, WASMGRAD_TARGET_CPU, bad_address(i, 4)));
    REFUSES(model_export(model, encoding, bad_address(i, 65536), 65536, at(out)));
    REFUSES(model_export(model, encoding, at(out), 0, bad_address(i, 4)));
  }
  REFUSES(model_load(at(archive), UINT32_MAX, encoding, WASMGRAD_TARGET_CPU, at(out)));
  REFUSES(model_load_by_name(text("linear"), UINT32_MAX, WASMGRAD_TARGET_CPU, at(out)));
  REFUSES(model_export(model, encoding, at(archive), UINT32_MAX, at(out)));
  EQUALS(*out, UNTOUCHED);
}

static void datasets_refuse_addresses_outside_the_memory(void) {
  const uint32_t dataset = dataset_of_rows(8);
  REQUIRE(dataset != 0);
  const double halves[2] = {0.5, 0.5};
  const address fractions = at(copied(halves, sizeof halves));
  uint32_t* parts = room(2 * sizeof *parts);
  parts[0] = parts[1] = UNTOUCHED;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(dataset_create(bad_address(i, 4)));
    REFUSES(dataset_split(dataset, bad_address(i, 16), 2, 0, at(parts)));
    REFUSES(dataset_split(dataset, fractions, 2, 0, bad_address(i, 8)));
    REFUSES(dataset_size(dataset, bad_address(i, 8)));
  }
  EQUALS(parts[0], UNTOUCHED);
  EQUALS(parts[1], UNTOUCHED);
  SUCCEEDS(dataset_append(dataset, at(features(1)), 1, at(classes(1)), 1)); /* it was not split */
}

static void trainers_refuse_addresses_outside_the_memory(void) {
  const uint32_t model = load("linear");
  const uint32_t data = dataset_of_rows(8);
  uint32_t* handle = room(sizeof *handle);
  *handle = UNTOUCHED;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(trainer_create(model, bad_address(i, 2), 2, at(handle)));
    REFUSES(trainer_create(model, text("{}"), 2, bad_address(i, 4)));
  }
  REFUSES(trainer_create(model, text("{}"), UINT32_MAX, at(handle)));
  EQUALS(*handle, UNTOUCHED);
  const uint32_t trainer = trainer_with(model, "{}"); /* the model has no trainer yet */
  REQUIRE(trainer != 0 && data != 0);
  named_tensor* x = features(8);
  named_tensor* y = classes(8);
  uint32_t* out = room(sizeof *out);
  SUCCEEDS(trainer_predict(trainer, at(x), 1, at(out)));
  uint32_t count = 0;
  const float* before = parameters_of(trainer, &count);
  REQUIRE(before != NULL);
  wasmgrad_output_info* info = room(sizeof *info);
  void* buffer = room(256);
  *out = info->rank = UNTOUCHED;
  for (int i = 0; i < BAD_ADDRESSES; ++i) {
    REFUSES(trainer_fit(trainer, data, 0, 1, bad_address(i, sizeof(wasmgrad_fit_report))));
    REFUSES(trainer_epoch(trainer, data, bad_address(i, sizeof(wasmgrad_metrics))));
    REFUSES(trainer_step(trainer, at(x), 1, at(y), 1, bad_address(i, sizeof(wasmgrad_metrics))));
    REFUSES(trainer_backward(trainer, at(x), 1, at(y), 1, bad_address(i, sizeof(wasmgrad_metrics))));
    REFUSES(trainer_evaluate(trainer, data, bad_address(i, sizeof(wasmgrad_metrics))));
    REFUSES(trainer_predict(trainer, at(x), 1, bad_address(i, 4)));
    REFUSES(trainer_output(trainer, 0, bad_address(i, sizeof *info), at(buffer), 256, at(out)));
    REFUSES(trainer_output(trainer, 0, at(info), bad_address(i, 96), 96, at(out)));
    REFUSES(trainer_output(trainer, 0, at(info), at(buffer), 256, bad_address(i, 4)));
    REFUSES(trainer_set(trainer, bad_address(i, 13), 13, 0.5));
    REFUSES(trainer_parameters(trainer, bad_address(i, 60), 60, at(out)));
    REFUSES(trainer_parameters(trainer, at(buffer), 256, bad_address(i, 4)));
    REFUSES(trainer_set_parameters(trainer, bad_address(i, 60), 60));
    REFUSES(trainer_buffers(trainer, bad_address(i, 60), 60, at(out)));
    REFUSES(trainer_buffers(trainer, at(buffer), 256, bad_address(i, 4)));
    REFUSES(trainer_set_buffers(trainer, bad_address(i, 60), 60));
    REFUSES(trainer_gradients(trainer, bad_address(i, 60), 60, at(out)));
    REFUSES(trainer_gradients(trainer, at(buffer), 256, bad_address(i, 4)));
    REFUSES(trainer_set_gradients(trainer, bad_address(i, 60), 60));
    REFUSES(trainer_checkpoint(trainer, bad_address(i, 4096), 4096, at(out)));
    REFUSES(trainer_checkpoint(trainer, at(buffer), 0, bad_address(i, 4)));
    REFUSES(trainer_restore(trainer, bad_address(i, 256), 256));
  }
  EQUALS(*out, UNTOUCHED);
  EQUALS(info->rank, UNTOUCHED);
  const float* after = parameters_of(trainer, &count);
  REQUIRE(after != NULL && memcmp(before, after, count * sizeof *after) == 0);
  wasmgrad_metrics* metrics = room(sizeof *metrics);
  SUCCEEDS(trainer_evaluate(trainer, data, at(metrics)));
  EQUALS(metrics->step, 0);
}

void run_error_cases(void) {
  RUN(last_error_is_empty_before_the_first_failure);
  RUN(last_error_tells_its_size_and_its_text);
  RUN(a_guest_alone_is_the_first_of_one_process);
  RUN(process_group_refuses_addresses_outside_the_memory);
  RUN(a_configuration_without_a_name_is_not_found);
  RUN(the_owner_is_told_any_number_under_a_name);
  RUN(runs_refuse_addresses_outside_the_memory);
  RUN(last_error_stays_after_a_call_that_succeeds);
  RUN(last_error_says_what_a_too_small_buffer_needs);
  RUN(last_error_refuses_addresses_outside_the_memory);
  RUN(models_refuse_wrong_handles);
  RUN(datasets_refuse_wrong_handles);
  RUN(trainers_refuse_wrong_handles);
  RUN(handles_are_never_used_again);
  RUN(too_many_handles_are_refused_and_closing_makes_room);
  RUN(enumerators_that_do_not_exist_are_refused);
  RUN(enumerators_of_the_other_direction_are_refused);
  RUN(models_refuse_addresses_outside_the_memory);
  RUN(datasets_refuse_addresses_outside_the_memory);
  RUN(trainers_refuse_addresses_outside_the_memory);
}
