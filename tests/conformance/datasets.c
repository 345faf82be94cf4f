/* Datasets: blocks of rows, what fits together, and splitting. */
#include "suite.h"

static double rows_of(uint32_t dataset) {
  uint64_t* rows = room(sizeof *rows);
  const uint32_t code = dataset_size(dataset, at(rows));
  return expect_errno(__FILE__, __LINE__, "dataset_size", code, WASMGRAD_SUCCESS) ? (double)*rows : -1;
}

static void a_new_dataset_is_empty(void) {
  uint32_t* dataset = room(sizeof *dataset);
  REQUIRE(opened("dataset_create", dataset_create(at(dataset)), dataset, dataset_close) != 0);
  EQUALS(rows_of(*dataset), 0);
}

static void blocks_add_up(void) {
  const uint32_t dataset = dataset_of_rows(5);
  REQUIRE(dataset != 0);
  SUCCEEDS(dataset_append(dataset, at(features(1)), 1, at(classes(1)), 1));
  SUCCEEDS(dataset_append(dataset, at(features(100)), 1, at(classes(100)), 1));
  EQUALS(rows_of(dataset), 106);
}

static void rows_are_copied(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  named_tensor* x = features(6);
  named_tensor* y = classes(6);
  const uint32_t dataset = dataset_of(x, 1, y, 1);
  wasmgrad_metrics* metrics = room(2 * sizeof *metrics);
  SUCCEEDS(trainer_evaluate(trainer, dataset, at(metrics)));
#ifdef __wasm__
  memset((void*)(uintptr_t)x->tensor.data, 0x7f, x->tensor.data_bytes);
#else
  memset(arena + x->tensor.data, 0x7f, x->tensor.data_bytes);
#endif
  SUCCEEDS(trainer_evaluate(trainer, dataset, at(metrics + 1)));
  EQUALS(metrics[1].loss, metrics[0].loss);
}

static void every_element_type_is_stored(void) {
  for (uint32_t type = WASMGRAD_TYPE_F16; type <= WASMGRAD_TYPE_BF16; ++type) {
    named_tensor* x = list(matrix("x", type, NULL, 3, FEATURES));
    named_tensor* y = list(matrix("y", type, NULL, 3, 0));
    const uint32_t dataset = dataset_of(x, 1, y, 1);
    REQUIRE(dataset != 0);
    EQUALS(rows_of(dataset), 3);
  }
}

static void tensors_of_sixteen_dimensions_are_stored(void) {
  const uint32_t dims[16] = {2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3};
  named_tensor* x = list(tensor("x", WASMGRAD_TYPE_F32, NULL, 16, dims));
  const uint32_t dataset = dataset_of(x, 1, classes(2), 1);
  REQUIRE(dataset != 0);
  EQUALS(rows_of(dataset), 2);
}

static void names_of_1024_bytes_are_stored(void) {
  char* name = room(1025);
  memset(name, 'n', 1024);
  named_tensor* x = list(matrix(name, WASMGRAD_TYPE_F32, NULL, 2, FEATURES));
  named_tensor* y = list(matrix("y", WASMGRAD_TYPE_I64, NULL, 2, 0));
  REQUIRE(dataset_of(x, 1, y, 1) != 0);
}

static void several_inputs_and_targets_are_stored(void) {
  named_tensor x[2] = {matrix("left", WASMGRAD_TYPE_F32, NULL, 4, 2),
                       matrix("right", WASMGRAD_TYPE_U8, NULL, 4, 9)};
  named_tensor y[2] = {matrix("class", WASMGRAD_TYPE_I64, NULL, 4, 0),
                       matrix("value", WASMGRAD_TYPE_F32, NULL, 4, 1)};
  const uint32_t dataset = dataset_of(copied(x, sizeof x), 2, copied(y, sizeof y), 2);
  REQUIRE(dataset != 0);
  EQUALS(rows_of(dataset), 4);
}

static void the_first_block_decides_the_columns(void) {
  named_tensor* x = list(matrix("x", WASMGRAD_TYPE_F32, NULL, 4, FEATURES));
  named_tensor* y = list(matrix("y", WASMGRAD_TYPE_I64, NULL, 4, 0));
  const uint32_t dataset = dataset_of(x, 1, y, 1);
  REQUIRE(dataset != 0);
  named_tensor* name = list(matrix("z", WASMGRAD_TYPE_F32, NULL, 4, FEATURES));
  named_tensor* nameless = list(matrix("", WASMGRAD_TYPE_F32, NULL, 4, FEATURES));
  named_tensor* type = list(matrix("x", WASMGRAD_TYPE_F64, NULL, 4, FEATURES));
  named_tensor* shape = list(matrix("x", WASMGRAD_TYPE_F32, NULL, 4, FEATURES + 1));
  named_tensor* rank = list(matrix("x", WASMGRAD_TYPE_F32, NULL, 4, 0));
  named_tensor two[2] = {*x, matrix("w", WASMGRAD_TYPE_F32, NULL, 4, FEATURES)};
  named_tensor* target_type = list(matrix("y", WASMGRAD_TYPE_I32, NULL, 4, 0));
  REFUSES(dataset_append(dataset, at(name), 1, at(y), 1));
  REFUSES(dataset_append(dataset, at(nameless), 1, at(y), 1));
  REFUSES(dataset_append(dataset, at(type), 1, at(y), 1));
  REFUSES(dataset_append(dataset, at(shape), 1, at(y), 1));
  REFUSES(dataset_append(dataset, at(rank), 1, at(y), 1));
  REFUSES(dataset_append(dataset, at(copied(two, sizeof two)), 2, at(y), 1));
  REFUSES(dataset_append(dataset, at(x), 1, at(target_type), 1));
  REFUSES(dataset_append(dataset, at(x), 1, at(y), 0));
  EQUALS(rows_of(dataset), 4);
  SUCCEEDS(dataset_append(dataset, at(x), 1, at(y), 1));
  EQUALS(rows_of(dataset), 8);
}

static void tensors_of_a_block_have_as_many_rows(void) {
  const uint32_t dataset = dataset_of_rows(4);
  REQUIRE(dataset != 0);
  REFUSES(dataset_append(dataset, at(features(4)), 1, at(classes(3)), 1));
  REFUSES(dataset_append(dataset, at(features(3)), 1, at(classes(4)), 1));
  EQUALS(rows_of(dataset), 4);
}

static void a_scalar_has_no_rows(void) {
  uint32_t* dataset = room(sizeof *dataset);
  REQUIRE(opened("dataset_create", dataset_create(at(dataset)), dataset, dataset_close) != 0);
  named_tensor* scalar = list(tensor("", WASMGRAD_TYPE_F32, NULL, 0, NULL));
  REFUSES(dataset_append(*dataset, at(scalar), 1, at(classes(1)), 1));
  EQUALS(rows_of(*dataset), 0);
}

static void names_are_for_all_tensors_or_none_and_differ(void) {
  uint32_t* dataset = room(sizeof *dataset);
  REQUIRE(opened("dataset_create", dataset_create(at(dataset)), dataset, dataset_close) != 0);
  const named_tensor some[2] = {matrix("x", WASMGRAD_TYPE_F32, NULL, 4, 2),
                                matrix("", WASMGRAD_TYPE_F32, NULL, 4, 2)};
  const named_tensor same[2] = {matrix("x", WASMGRAD_TYPE_F32, NULL, 4, 2),
                                matrix("x", WASMGRAD_TYPE_F32, NULL, 4, 2)};
  REFUSES(dataset_append(*dataset, at(copied(some, sizeof some)), 2, at(classes(4)), 1));
  REFUSES(dataset_append(*dataset, at(copied(same, sizeof same)), 2, at(classes(4)), 1));
  EQUALS(rows_of(*dataset), 0);
}

/* Up to 80 MiB: a host that allows more is not driven to its limit. */
static void too_many_bytes_are_refused_and_closing_makes_room(void) {
  enum { BLOCK_ROWS = 1024, BLOCKS = 80 };
  named_tensor* block = list(matrix("", WASMGRAD_TYPE_U8, NULL, BLOCK_ROWS, 1024));
  named_tensor* y = list(matrix("", WASMGRAD_TYPE_U8, NULL, BLOCK_ROWS, 0));
  const uint32_t dataset = dataset_of(block, 1, y, 1);
  uint32_t code = WASMGRAD_SUCCESS;
  int blocks = 1;
  while (blocks < BLOCKS && code == WASMGRAD_SUCCESS) {
    code = dataset_append(dataset, at(block), 1, at(y), 1);
    blocks += code == WASMGRAD_SUCCESS;
  }
  EQUALS(rows_of(dataset), blocks * BLOCK_ROWS);
  if (code == WASMGRAD_SUCCESS) return;
  RETURNS(WASMGRAD_TOO_LARGE, code);
  SUCCEEDS(dataset_close(dataset));
  REQUIRE(dataset_of(block, 1, y, 1) != 0);
}

/* ---- Splitting ---- */

static int split(uint32_t dataset, const double* fractions, uint32_t n, uint64_t seed, uint32_t* parts) {
  memset(parts, 0x5a, n * sizeof *parts);
  const uint32_t code =
      dataset_split(dataset, at(copied(fractions, n * sizeof *fractions)), n, seed, at(parts));
  if (!expect_errno(__FILE__, __LINE__, "dataset_split", code, WASMGRAD_SUCCESS)) return 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (opened("dataset_split", code, parts + i, dataset_close) == 0) return 0;
  }
  return 1;
}

static void parts_have_the_rows_of_their_fractions(void) {
  const uint32_t dataset = dataset_of_rows(10);
  uint32_t* parts = room(3 * sizeof *parts);
  REQUIRE(split(dataset, (const double[]){0.55, 0.25, 0.2}, 3, 1, parts));
  EQUALS(rows_of(parts[0]), 5);
  EQUALS(rows_of(parts[1]), 2);
  EQUALS(rows_of(parts[2]), 3); /* what is left, for the sum is 1 */
  EQUALS(rows_of(dataset), 10);
  REQUIRE(split(dataset, (const double[]){0.55, 0.25}, 2, 1, parts));
  EQUALS(rows_of(parts[0]), 5);
  EQUALS(rows_of(parts[1]), 2);
  REQUIRE(split(dataset, (const double[]){1}, 1, 1, parts));
  EQUALS(rows_of(parts[0]), 10);
  REQUIRE(split(dataset, (const double[]){0, 1}, 2, 1, parts));
  EQUALS(rows_of(parts[0]), 0);
  EQUALS(rows_of(parts[1]), 10);
}

static void fractions_may_add_up_to_one_with_rounding(void) {
  const uint32_t dataset = dataset_of_rows(10);
  uint32_t* parts = room(10 * sizeof *parts);
  const double tenths[10] = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
  REQUIRE(split(dataset, tenths, 10, 7, parts));
  double sum = 0;
  for (int i = 0; i < 10; ++i) sum += rows_of(parts[i]);
  EQUALS(sum, 10);
}

/* The sum of the losses of all rows. */
static double total_loss(uint32_t trainer, uint32_t dataset) {
  wasmgrad_metrics* metrics = room(sizeof *metrics);
  const uint32_t code = trainer_evaluate(trainer, dataset, at(metrics));
  if (!expect_errno(__FILE__, __LINE__, "trainer_evaluate", code, WASMGRAD_SUCCESS)) return NAN;
  return metrics->loss * (double)metrics->samples;
}

static void parts_deal_the_rows_out_once(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  const uint32_t dataset = dataset_of_rows(50);
  uint32_t* parts = room(3 * sizeof *parts);
  REQUIRE(trainer != 0 && split(dataset, (const double[]){0.5, 0.3, 0.2}, 3, 5, parts));
  const double sum =
      total_loss(trainer, parts[0]) + total_loss(trainer, parts[1]) + total_loss(trainer, parts[2]);
  NEAR(sum, total_loss(trainer, dataset), 1e-4);
}

static void the_order_is_drawn_from_the_seed(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  const uint32_t dataset = dataset_of_rows(64);
  uint32_t* first = room(sizeof *first);
  uint32_t* again = room(sizeof *again);
  uint32_t* other = room(sizeof *other);
  REQUIRE(trainer != 0 && split(dataset, (const double[]){0.5}, 1, UINT64_MAX, first));
  REQUIRE(split(dataset, (const double[]){0.5}, 1, UINT64_MAX, again));
  REQUIRE(split(dataset, (const double[]){0.5}, 1, UINT32_MAX, other)); /* all 64 bits count */
  EQUALS(total_loss(trainer, *again), total_loss(trainer, *first));
  REQUIRE(total_loss(trainer, *other) != total_loss(trainer, *first));
}

static void parts_outlive_their_source(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  const uint32_t dataset = dataset_of_rows(10);
  uint32_t* parts = room(2 * sizeof *parts);
  REQUIRE(trainer != 0 && split(dataset, (const double[]){0.5, 0.5}, 2, 5, parts));
  SUCCEEDS(dataset_close(dataset));
  SUCCEEDS(dataset_close(parts[0]));
  EQUALS(rows_of(parts[1]), 5);
  REQUIRE(isfinite(total_loss(trainer, parts[1])));
}

static void a_part_splits_again(void) {
  const uint32_t dataset = dataset_of_rows(12);
  uint32_t* parts = room(2 * sizeof *parts);
  uint32_t* quarters = room(2 * sizeof *quarters);
  REQUIRE(split(dataset, (const double[]){0.5, 0.5}, 2, 5, parts));
  REQUIRE(split(parts[0], (const double[]){0.5, 0.5}, 2, 5, quarters));
  EQUALS(rows_of(quarters[0]), 3);
  EQUALS(rows_of(quarters[1]), 3);
}

static void fractions_that_are_none_are_refused(void) {
  const uint32_t dataset = dataset_of_rows(10);
  uint32_t* parts = room(2 * sizeof *parts);
  parts[0] = parts[1] = UNTOUCHED;
  const double wrong[][2] = {{0.6, 0.6}, {-0.1, 0.5},     {1.5, 0},
                             {NAN, 0.5}, {0.5, INFINITY}, {0.5, 0.5 + 1e-6}};
  for (int i = 0; i < (int)(sizeof wrong / sizeof *wrong); ++i) {
    REFUSES(dataset_split(dataset, at(copied(wrong[i], sizeof wrong[i])), 2, 0, at(parts)));
  }
  REFUSES(dataset_split(dataset, at(parts), 0, 0, at(parts)));
  EQUALS(parts[0], UNTOUCHED);
  EQUALS(parts[1], UNTOUCHED);
  SUCCEEDS(dataset_append(dataset, at(features(1)), 1, at(classes(1)), 1)); /* it was not split */
}

static void a_dataset_that_was_split_cannot_grow(void) {
  const uint32_t dataset = dataset_of_rows(10);
  uint32_t* part = room(sizeof *part);
  REQUIRE(split(dataset, (const double[]){0.5}, 1, 0, part));
  REFUSES(dataset_append(dataset, at(features(1)), 1, at(classes(1)), 1));
  REFUSES(dataset_append(*part, at(features(1)), 1, at(classes(1)), 1));
  EQUALS(rows_of(dataset), 10);
  EQUALS(rows_of(*part), 5);
}

static void a_dataset_that_a_trainer_used_cannot_grow(void) {
  const uint32_t trainer = trainer_of("linear", "{}");
  const uint32_t dataset = dataset_of_rows(10);
  SUCCEEDS(trainer_evaluate(trainer, dataset, at(room(sizeof(wasmgrad_metrics)))));
  REFUSES(dataset_append(dataset, at(features(1)), 1, at(classes(1)), 1));
  EQUALS(rows_of(dataset), 10);
}

void run_dataset_cases(void) {
  RUN(a_new_dataset_is_empty);
  RUN(blocks_add_up);
  RUN(rows_are_copied);
  RUN(every_element_type_is_stored);
  RUN(tensors_of_sixteen_dimensions_are_stored);
  RUN(names_of_1024_bytes_are_stored);
  RUN(several_inputs_and_targets_are_stored);
  RUN(the_first_block_decides_the_columns);
  RUN(tensors_of_a_block_have_as_many_rows);
  RUN(a_scalar_has_no_rows);
  RUN(names_are_for_all_tensors_or_none_and_differ);
  RUN(too_many_bytes_are_refused_and_closing_makes_room);
  RUN(parts_have_the_rows_of_their_fractions);
  RUN(fractions_may_add_up_to_one_with_rounding);
  RUN(parts_deal_the_rows_out_once);
  RUN(the_order_is_drawn_from_the_seed);
  RUN(parts_outlive_their_source);
  RUN(a_part_splits_again);
  RUN(fractions_that_are_none_are_refused);
  RUN(a_dataset_that_was_split_cannot_grow);
  RUN(a_dataset_that_a_trainer_used_cannot_grow);
}
