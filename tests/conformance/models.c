/* Models: loading, refusing, exporting, closing. */
#include "suite.h"

static uint32_t load_bytes(const unsigned char* bytes, uint32_t size, uint32_t encoding, uint32_t* code) {
  uint32_t* model = room(sizeof *model);
  *model = UNTOUCHED;
  *code = model_load(at(bytes), size, encoding, WASMGRAD_TARGET_CPU, at(model));
  return *code == WASMGRAD_SUCCESS ? opened("model_load", *code, model, model_close) : *model;
}

/* The logits of the linear model for one row of ones: row sums of i / 100 plus 0.1, 0.2, 0.3. */
static void check_linear(uint32_t model) {
  const uint32_t trainer = trainer_with(model, "{}");
  REQUIRE(trainer != 0);
  const float ones[FEATURES] = {1, 1, 1, 1};
  uint32_t* outputs = room(sizeof *outputs);
  SUCCEEDS(
      trainer_predict(trainer, at(list(matrix("", WASMGRAD_TYPE_F32, ones, 1, FEATURES))), 1, at(outputs)));
  EQUALS(*outputs, 1);
  uint32_t count = 0;
  const float* logits = output_of(trainer, 0, &count);
  REQUIRE(logits != NULL && count == CLASSES);
  NEAR(logits[0], 0.16, 1e-6);
  NEAR(logits[1], 0.42, 1e-6);
  NEAR(logits[2], 0.68, 1e-6);
}

static void torchscript_loads_from_bytes(void) {
  uint32_t size = 0, code = 0;
  const unsigned char* bytes = file("linear.pt", &size);
  REQUIRE(bytes != NULL);
  const uint32_t model = load_bytes(bytes, size, WASMGRAD_ENCODING_TORCHSCRIPT, &code);
  SUCCEEDS(code);
  check_linear(model);
}

static void autodetect_tells_torchscript(void) {
  uint32_t size = 0, code = 0;
  const unsigned char* bytes = file("linear.pt", &size);
  REQUIRE(bytes != NULL);
  const uint32_t model = load_bytes(bytes, size, WASMGRAD_ENCODING_AUTODETECT, &code);
  SUCCEEDS(code);
  check_linear(model);
}

static void a_torch_export_program_loads_or_is_not_supported(void) {
  uint32_t size = 0, code = 0;
  const unsigned char* bytes = file("linear.pt2", &size);
  REQUIRE(bytes != NULL);
  const uint32_t model = load_bytes(bytes, size, WASMGRAD_ENCODING_TORCH_EXPORT, &code);
  if (code == WASMGRAD_UNSUPPORTED_OPERATION) {
    EQUALS(model, UNTOUCHED);
    return;
  }
  SUCCEEDS(code);
  check_linear(model);
}

static void autodetect_tells_a_torch_export_program(void) {
  uint32_t size = 0, code = 0;
  const unsigned char* bytes = file("linear.pt2", &size);
  REQUIRE(bytes != NULL);
  const uint32_t model = load_bytes(bytes, size, WASMGRAD_ENCODING_AUTODETECT, &code);
  if (code == WASMGRAD_UNSUPPORTED_OPERATION) return;
  SUCCEEDS(code);
  check_linear(model);
}

static void a_program_of_a_later_format_is_not_supported(void) {
  uint32_t size = 0, code = 0;
  const unsigned char* bytes = file("later-format.pt2", &size);
  REQUIRE(bytes != NULL);
  const uint32_t model = load_bytes(bytes, size, WASMGRAD_ENCODING_TORCH_EXPORT, &code);
  RETURNS(WASMGRAD_UNSUPPORTED_OPERATION, code);
  EQUALS(model, UNTOUCHED);
}

static void a_granted_name_loads(void) {
  const uint32_t model = load("linear");
  REQUIRE(model != 0);
  check_linear(model);
}

static void the_same_model_loads_twice_with_weights_of_its_own(void) {
  const uint32_t trained = trainer_of("linear", "{'optimizer':'sgd'}");
  const uint32_t other = load("linear");
  REQUIRE(trained != 0 && other != 0);
  SUCCEEDS(trainer_step(trained, at(features(6)), 1, at(classes(6)), 1, at(room(sizeof(wasmgrad_metrics)))));
  check_linear(other);
}

static void a_name_that_was_not_granted_is_not_found(void) {
  uint32_t* model = room(sizeof *model);
  *model = UNTOUCHED;
  RETURNS(WASMGRAD_NOT_FOUND, model_load_by_name(text("none"), 4, WASMGRAD_TARGET_CPU, at(model)));
  RETURNS(WASMGRAD_NOT_FOUND, model_load_by_name(text("linear.pt"), 9, WASMGRAD_TARGET_CPU, at(model)));
  RETURNS(WASMGRAD_NOT_FOUND, model_load_by_name(text("linea"), 5, WASMGRAD_TARGET_CPU, at(model)));
  EQUALS(*model, UNTOUCHED);
}

static void bytes_that_are_no_model_are_refused(void) {
  uint32_t size = 0, code = 0;
  const unsigned char* whole = file("linear.pt", &size);
  unsigned char* garbage = room(4096);
  memset(garbage, 0xa5, 4096);
  REQUIRE(whole != NULL);
  const uint32_t encodings[] = {WASMGRAD_ENCODING_AUTODETECT, WASMGRAD_ENCODING_TORCHSCRIPT};
  for (int i = 0; i < 2; ++i) {
    EQUALS(load_bytes(garbage, 4096, encodings[i], &code), UNTOUCHED);
    RETURNS(WASMGRAD_INVALID_ENCODING, code);
    EQUALS(load_bytes(garbage, 0, encodings[i], &code), UNTOUCHED);
    RETURNS(WASMGRAD_INVALID_ENCODING, code);
    EQUALS(load_bytes(whole, size - 1, encodings[i], &code), UNTOUCHED);
    RETURNS(WASMGRAD_INVALID_ENCODING, code);
    EQUALS(load_bytes(whole, size / 2, encodings[i], &code), UNTOUCHED);
    RETURNS(WASMGRAD_INVALID_ENCODING, code);
  }
}

static void a_model_that_could_do_more_than_compute_is_refused(void) {
  uint32_t size = 0, code = 0;
  const unsigned char* bytes = file("hostile.pt", &size);
  REQUIRE(bytes != NULL);
  EQUALS(load_bytes(bytes, size, WASMGRAD_ENCODING_TORCHSCRIPT, &code), UNTOUCHED);
  RETURNS(WASMGRAD_SECURITY, code);
  EQUALS(load_bytes(bytes, size, WASMGRAD_ENCODING_AUTODETECT, &code), UNTOUCHED);
  RETURNS(WASMGRAD_SECURITY, code);
  uint32_t* model = room(sizeof *model);
  RETURNS(WASMGRAD_SECURITY, model_load_by_name(text("hostile"), 7, WASMGRAD_TARGET_CPU, at(model)));
}

/* The model as bytes; null when a call failed. */
static unsigned char* exported(uint32_t model, uint32_t encoding, uint32_t* size) {
  uint32_t* written = room(sizeof *written);
  if (!expect_errno(__FILE__, __LINE__, "model_export",
                    model_export(model, encoding, at(written), 0, at(written)), 0)) {
    return NULL;
  }
  *size = *written;
  unsigned char* bytes = room(*size);
  const uint32_t code = model_export(model, encoding, at(bytes), *size, at(written));
  if (!expect_errno(__FILE__, __LINE__, "model_export", code, WASMGRAD_SUCCESS)) return NULL;
  return bytes;
}

static void an_exported_model_loads_with_its_trained_weights(void) {
  const uint32_t model = load("linear");
  const uint32_t trainer = trainer_with(model, "{'optimizer':'sgd'}");
  REQUIRE(trainer != 0);
  float* values = room(15 * sizeof *values);
  for (int i = 0; i < 15; ++i) values[i] = (float)i;
  SUCCEEDS(trainer_set_parameters(trainer, at(values), 60));
  uint32_t size = 0, code = 0, count = 0;
  const unsigned char* bytes = exported(model, WASMGRAD_ENCODING_TORCHSCRIPT, &size);
  REQUIRE(bytes != NULL);
  const uint32_t again = load_bytes(bytes, size, WASMGRAD_ENCODING_TORCHSCRIPT, &code);
  SUCCEEDS(code);
  const float* parameters = parameters_of(trainer_with(again, "{}"), &count);
  REQUIRE(parameters != NULL && count == 15);
  for (int i = 0; i < 15; ++i) EQUALS(parameters[i], i);
}

static void safetensors_hold_the_weights_under_their_names(void) {
  const uint32_t model = load("linear");
  uint32_t size = 0;
  const unsigned char* bytes = exported(model, WASMGRAD_ENCODING_SAFETENSORS, &size);
  REQUIRE(bytes != NULL && size > 8 + 60);
  uint64_t header = 0;
  memcpy(&header, bytes, sizeof header);
  REQUIRE(header < size - 8 && bytes[8] == '{');
  char* json = room((size_t)header + 1);
  memcpy(json, bytes + 8, (size_t)header);
  REQUIRE(strstr(json, "\"fc.weight\"") != NULL);
  REQUIRE(strstr(json, "\"fc.bias\"") != NULL);
  EQUALS(size, 8 + header + 60);
}

static void low_rank_branches_train_alone_and_are_merged_or_exported(void) {
  const uint32_t model = load("linear");
  uint32_t size = 0, code = 0, count = 0;
  const float* before = parameters_of(trainer_with(model, "{}"), &count);
  REQUIRE(before != NULL && count == 15);
  const uint32_t wide = load("linear");
  unsigned char* small = room(1);
  REFUSES(model_export(wide, WASMGRAD_ENCODING_LORA, at(small), 1, at(room(sizeof(uint32_t)))));
  const uint32_t trainer = trainer_with(wide, "{'lora':['fc.*:2:4']}");
  REQUIRE(parameters_of(trainer, &count) != NULL && count == 2 * 4 + 3 * 2);
  float* values = room(14 * sizeof *values);
  for (int i = 0; i < 14; ++i) values[i] = 0.5f;
  SUCCEEDS(trainer_set_parameters(trainer, at(values), 14 * sizeof *values));
  const unsigned char* bytes = exported(wide, WASMGRAD_ENCODING_TORCHSCRIPT, &size);
  REQUIRE(bytes != NULL);
  const uint32_t again = load_bytes(bytes, size, WASMGRAD_ENCODING_TORCHSCRIPT, &code);
  SUCCEEDS(code);
  /* 4 / 2 times two products of 0.5 and 0.5 */
  const float* merged = parameters_of(trainer_with(again, "{}"), &count);
  REQUIRE(merged != NULL && count == 15);
  for (int i = 0; i < 12; ++i) EQUALS(merged[i], before[i] + 1.0f);
  for (int i = 12; i < 15; ++i) EQUALS(merged[i], before[i]);
  bytes = exported(wide, WASMGRAD_ENCODING_LORA, &size);
  REQUIRE(bytes != NULL && size > 8 + 56);
  uint64_t header = 0;
  memcpy(&header, bytes, sizeof header);
  REQUIRE(header < size - 8);
  char* json = room((size_t)header + 1);
  memcpy(json, bytes + 8, (size_t)header);
  REQUIRE(strstr(json, "\"base_model.model.fc.lora_A.weight\"") != NULL);
  REQUIRE(strstr(json, "\"base_model.model.fc.lora_B.weight\"") != NULL);
  EQUALS(size, 8 + header + 56);
}

static void export_says_what_a_too_small_buffer_needs(void) {
  const uint32_t model = load("linear");
  uint32_t size = 0;
  REQUIRE(exported(model, WASMGRAD_ENCODING_SAFETENSORS, &size) != NULL);
  unsigned char* buffer = room(size);
  uint32_t* written = room(sizeof *written);
  RETURNS(WASMGRAD_TOO_LARGE,
          model_export(model, WASMGRAD_ENCODING_SAFETENSORS, at(buffer), size - 1, at(written)));
  EQUALS(*written, size);
  for (uint32_t i = 0; i < size; ++i) EQUALS(buffer[i], 0);
}

static void a_closed_model_lives_on_in_its_trainer(void) {
  const uint32_t model = load("linear");
  const uint32_t trainer = trainer_with(model, "{}");
  REQUIRE(trainer != 0);
  SUCCEEDS(model_close(model));
  SUCCEEDS(trainer_step(trainer, at(features(4)), 1, at(classes(4)), 1, at(room(sizeof(wasmgrad_metrics)))));
  SUCCEEDS(trainer_close(trainer));
}

void run_model_cases(void) {
  RUN(torchscript_loads_from_bytes);
  RUN(autodetect_tells_torchscript);
  RUN(a_torch_export_program_loads_or_is_not_supported);
  RUN(autodetect_tells_a_torch_export_program);
  RUN(a_program_of_a_later_format_is_not_supported);
  RUN(a_granted_name_loads);
  RUN(the_same_model_loads_twice_with_weights_of_its_own);
  RUN(a_name_that_was_not_granted_is_not_found);
  RUN(bytes_that_are_no_model_are_refused);
  RUN(a_model_that_could_do_more_than_compute_is_refused);
  RUN(an_exported_model_loads_with_its_trained_weights);
  RUN(safetensors_hold_the_weights_under_their_names);
  RUN(low_rank_branches_train_alone_and_are_merged_or_exported);
  RUN(export_says_what_a_too_small_buffer_needs);
  RUN(a_closed_model_lives_on_in_its_trainer);
}
