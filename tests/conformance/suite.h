/* What the cases of the suite share: the calls, an arena that stands for guest memory, data, and
 * expectations.
 *
 * Compiled for wasm32 the calls are imports and an address is a pointer. Compiled for the computer at hand
 * they are functions that the program around the suite defines, and an address is an offset from the arena's
 * start: the arena is all of the guest's memory. */
#ifndef WASMGRAD_CONFORMANCE_SUITE_H
#define WASMGRAD_CONFORMANCE_SUITE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef __wasm__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wattributes" /* those of the imports */
#endif
#include "wasmgrad/training_v1.h"
#ifndef __wasm__
#pragma GCC diagnostic pop
#endif

/* ---- Calls ---- */

typedef uint32_t address;

#ifdef __wasm__
#define FUNCTION(function, parameters, names)             \
  __attribute__((import_module(WASMGRAD_TRAINING_MODULE), \
                 import_name(#function))) uint32_t function parameters;
#else
#define FUNCTION(function, parameters, names) uint32_t function parameters;
#endif
#include "functions.h"
#undef FUNCTION

/* ---- Guest memory ---- */

enum { ARENA_BYTES = 8 << 20 };
extern unsigned char arena[ARENA_BYTES];

/* The address of something in the arena. */
address at(const void* pointer);
/* The first address behind the guest's memory. */
uint64_t memory_end(void);
/* Room in the arena, zeroed, until the case ends. */
void* room(size_t bytes);
/* A copy of `bytes` bytes in the arena. */
void* copied(const void* data, size_t bytes);
wasmgrad_metrics* new_metrics(void);
/* The address of a text without its terminator; its length is strlen(text). */
address text(const char* text);
/* The same for JSON that is written with ' in place of ". */
address json(const char* text_with_single_quotes);

/* Addresses at which `bytes` bytes do not lie in memory: the last byte outside, all outside, the end wrapping
 * around 2^32, and the last address. */
enum { BAD_ADDRESSES = 4 };
address bad_address(int index, uint32_t bytes);

/* ---- Tensors ---- */

/* wasmgrad_tensor_record and wasmgrad_named_tensor with addresses as numbers. */
typedef struct tensor_record {
  address dims;
  uint32_t rank;
  uint8_t type;
  address data;
  uint32_t data_bytes;
} tensor_record;

typedef struct named_tensor {
  address name;
  uint32_t name_bytes;
  tensor_record tensor;
} named_tensor;

_Static_assert(sizeof(tensor_record) == 20 && sizeof(named_tensor) == 28, "as the header lays them out");
#ifdef __wasm__
_Static_assert(sizeof(tensor_record) == sizeof(wasmgrad_tensor_record), "the header's record");
_Static_assert(sizeof(named_tensor) == sizeof(wasmgrad_named_tensor), "the header's record");
#endif

uint32_t element_bytes(uint32_t type);
/* A tensor in the arena; `data` may be null for zeros. `name` may be "". */
named_tensor tensor(const char* name, uint32_t type, const void* data, uint32_t rank, const uint32_t* dims);
/* [rows, columns] or, for columns 0, [rows]. */
named_tensor matrix(const char* name, uint32_t type, const void* data, uint32_t rows, uint32_t columns);
/* One tensor, as a list in the arena. */
named_tensor* list(named_tensor only);

/* ---- Data: `rows` samples of 4 features, and classes 0..2 ---- */

enum { FEATURES = 4, CLASSES = 3 };
named_tensor* features(uint32_t rows);
named_tensor* classes(uint32_t rows);

/* ---- Handles: 0 when the call failed, which is then the case's failure; closed when the case ends ---- */

/* The handle that a call stored. */
uint32_t opened(const char* what, uint32_t code, const uint32_t* handle, uint32_t (*close)(uint32_t));

uint32_t load(const char* granted_name);
uint32_t trainer_of(const char* granted_name, const char* options);
uint32_t trainer_with(uint32_t model, const char* options);
uint32_t dataset_of(named_tensor* inputs, uint32_t n_inputs, named_tensor* targets, uint32_t n_targets);
/* features(rows) and classes(rows). */
uint32_t dataset_of_rows(uint32_t rows);
/* The result of a call that tells its size, in the arena; null when a call failed. */
float* parameters_of(uint32_t trainer, uint32_t* count);
float* gradients_of(uint32_t trainer, uint32_t* count);
float* buffers_of(uint32_t trainer, uint32_t* count);
unsigned char* checkpoint_of(uint32_t trainer, uint32_t* bytes);
/* The f32 elements of output `index` of the last prediction. */
float* output_of(uint32_t trainer, uint32_t index, uint32_t* count);
/* A file of the models directory, in the arena. */
unsigned char* file(const char* name, uint32_t* bytes);

/* ---- Cases ---- */

/* A case ends at its first expectation that does not hold. */
void run_case(const char* name, void (*body)(void));
#define RUN(body) run_case(#body, body)

/* Prints why the case failed, once. Returns 0. */
int fail(const char* file, int line, const char* format, ...) __attribute__((format(printf, 3, 4)));
int expect_errno(const char* file, int line, const char* call, uint32_t got, uint32_t expected);
int expect_number(const char* file, int line, const char* what, double got, double expected,
                  double tolerance);

#define REQUIRE(condition)                                                            \
  do {                                                                                \
    if (!(condition) && !fail(__FILE__, __LINE__, "expected %s", #condition)) return; \
  } while (0)
/* The errno of a call. */
#define RETURNS(expected, call)                                           \
  do {                                                                    \
    if (!expect_errno(__FILE__, __LINE__, #call, call, expected)) return; \
  } while (0)
#define SUCCEEDS(call) RETURNS(WASMGRAD_SUCCESS, call)
#define REFUSES(call) RETURNS(WASMGRAD_INVALID_ARGUMENT, call)
/* NaN equals NaN. */
#define EQUALS(got, expected)                                                                   \
  do {                                                                                          \
    if (!expect_number(__FILE__, __LINE__, #got, (double)(got), (double)(expected), 0)) return; \
  } while (0)
#define NEAR(got, expected, tolerance)                                                                  \
  do {                                                                                                  \
    if (!expect_number(__FILE__, __LINE__, #got, (double)(got), (double)(expected), tolerance)) return; \
  } while (0)

/* What a host writes only on success. */
enum { UNTOUCHED = 0x5a5a5a5a };

/* The parts of the suite. */
void run_error_cases(void);
void run_tensor_cases(void);
void run_model_cases(void);
void run_dataset_cases(void);
void run_option_cases(void);
void run_trainer_cases(void);
void run_output_cases(void);
void run_exchange_cases(void);
void run_owner_cases(void);

/* Runs everything but the owner's cases; 0 when all passed. The models lie in `models_directory`. */
int run_suite(const char* models_directory);
/* Runs the cases for an owner who lets no trainer do more than ALLOWED_EPOCHS epochs. */
int run_owner_suite(const char* models_directory);
enum { ALLOWED_EPOCHS = 2 };

#endif
