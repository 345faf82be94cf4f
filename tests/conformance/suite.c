/* The arena, the data and the runner of the suite. */
#include "suite.h"

#include <stdarg.h>
#include <stdio.h>

unsigned char arena[ARENA_BYTES];
static size_t arena_used;

static const char* directory;
static const char* running;
static int failed_now, failed, passed;

/* Handles that the case opened through the functions below; they are closed when it ends. */
typedef uint32_t (*closer)(uint32_t handle);
static struct {
  closer close;
  uint32_t handle;
} open_handles[256];
static int n_open;

#ifdef __wasm__
address at(const void* pointer) { return (address)(uintptr_t)pointer; }
uint64_t memory_end(void) { return (uint64_t)__builtin_wasm_memory_size(0) << 16; }
#else
address at(const void* pointer) { return (address)((const unsigned char*)pointer - arena); }
uint64_t memory_end(void) { return ARENA_BYTES; }
#endif

void* room(size_t bytes) {
  const size_t start = (arena_used + 15) & ~(size_t)15;
  if (bytes > ARENA_BYTES - start) {
    fail(__FILE__, __LINE__, "the arena of %d bytes is too small", ARENA_BYTES);
    return memset(arena, 0, 16);
  }
  arena_used = start + bytes;
  return memset(arena + start, 0, bytes);
}

void* copied(const void* data, size_t bytes) {
  void* copy = room(bytes);
  if (bytes != 0) memcpy(copy, data, bytes);
  return copy;
}

wasmgrad_metrics* new_metrics(void) { return room(sizeof(wasmgrad_metrics)); }

address text(const char* text) { return at(copied(text, strlen(text))); }

address json(const char* text_with_single_quotes) {
  char* copy = copied(text_with_single_quotes, strlen(text_with_single_quotes) + 1);
  for (char* quote = copy; (quote = strchr(quote, '\'')) != NULL; ++quote) *quote = '"';
  return at(copy);
}

address bad_address(int index, uint32_t bytes) {
  switch (index) {
    case 0:
      return (address)(memory_end() - bytes + 1);
    case 1:
      return (address)memory_end();
    case 2:
      return (address)0 - bytes / 2 - 1;
    default:
      return UINT32_MAX;
  }
}

uint32_t element_bytes(uint32_t type) {
  switch (type) {
    case WASMGRAD_TYPE_U8:
      return 1;
    case WASMGRAD_TYPE_F16:
    case WASMGRAD_TYPE_BF16:
      return 2;
    case WASMGRAD_TYPE_F64:
    case WASMGRAD_TYPE_I64:
      return 8;
    default:
      return 4;
  }
}

named_tensor tensor(const char* name, uint32_t type, const void* data, uint32_t rank, const uint32_t* dims) {
  uint32_t bytes = element_bytes(type);
  for (uint32_t i = 0; i < rank; ++i) bytes *= dims[i];
  named_tensor made = {.name = text(name), .name_bytes = (uint32_t)strlen(name)};
  made.tensor.dims = at(copied(dims, rank * sizeof *dims));
  made.tensor.rank = rank;
  made.tensor.type = (uint8_t)type;
  made.tensor.data = at(data == NULL ? room(bytes) : copied(data, bytes));
  made.tensor.data_bytes = bytes;
  return made;
}

named_tensor matrix(const char* name, uint32_t type, const void* data, uint32_t rows, uint32_t columns) {
  const uint32_t dims[2] = {rows, columns};
  return tensor(name, type, data, columns == 0 ? 1 : 2, dims);
}

named_tensor* list(named_tensor only) { return copied(&only, sizeof only); }

named_tensor* features(uint32_t rows) {
  float* values = room(rows * FEATURES * sizeof *values);
  for (uint32_t i = 0; i < rows * FEATURES; ++i) values[i] = (float)(i * 7 % 13) / 13 - 0.5f;
  return list(matrix("", WASMGRAD_TYPE_F32, values, rows, FEATURES));
}

named_tensor* classes(uint32_t rows) {
  int64_t* values = room(rows * sizeof *values);
  for (uint32_t i = 0; i < rows; ++i) values[i] = i % CLASSES;
  return list(matrix("", WASMGRAD_TYPE_I64, values, rows, 0));
}

uint32_t opened(const char* what, uint32_t code, const uint32_t* handle, uint32_t (*close)(uint32_t)) {
  if (!expect_errno(__FILE__, __LINE__, what, code, WASMGRAD_SUCCESS)) return 0;
  if (*handle == 0) fail(__FILE__, __LINE__, "%s stored the handle 0", what);
  if (n_open < (int)(sizeof open_handles / sizeof *open_handles)) {
    open_handles[n_open].close = close;
    open_handles[n_open++].handle = *handle;
  }
  return *handle;
}

uint32_t load(const char* granted_name) {
  uint32_t* model = room(sizeof *model);
  const uint32_t code =
      model_load_by_name(text(granted_name), (uint32_t)strlen(granted_name), WASMGRAD_TARGET_CPU, at(model));
  return opened(granted_name, code, model, model_close);
}

uint32_t trainer_with(uint32_t model, const char* options) {
  uint32_t* trainer = room(sizeof *trainer);
  const uint32_t code = trainer_create(model, json(options), (uint32_t)strlen(options), at(trainer));
  return opened(options, code, trainer, trainer_close);
}

uint32_t trainer_of(const char* granted_name, const char* options) {
  const uint32_t model = load(granted_name);
  return model == 0 ? 0 : trainer_with(model, options);
}

uint32_t dataset_of(named_tensor* inputs, uint32_t n_inputs, named_tensor* targets, uint32_t n_targets) {
  uint32_t* dataset = room(sizeof *dataset);
  if (opened("dataset_create", dataset_create(at(dataset)), dataset, dataset_close) == 0) return 0;
  const uint32_t code = dataset_append(*dataset, at(inputs), n_inputs, at(targets), n_targets);
  return expect_errno(__FILE__, __LINE__, "dataset_append", code, WASMGRAD_SUCCESS) ? *dataset : 0;
}

uint32_t dataset_of_rows(uint32_t rows) { return dataset_of(features(rows), 1, classes(rows), 1); }

typedef uint32_t (*reader)(uint32_t handle, address buffer, uint32_t buffer_bytes, address written);

static void* read_all(const char* what, reader read, uint32_t handle, uint32_t* bytes) {
  uint32_t* written = room(sizeof *written);
  if (!expect_errno(__FILE__, __LINE__, what, read(handle, at(written), 0, at(written)), WASMGRAD_SUCCESS)) {
    return NULL;
  }
  *bytes = *written;
  void* buffer = room(*bytes);
  const uint32_t code = read(handle, at(buffer), *bytes, at(written));
  return expect_errno(__FILE__, __LINE__, what, code, WASMGRAD_SUCCESS) ? buffer : NULL;
}

float* parameters_of(uint32_t trainer, uint32_t* count) {
  float* values = read_all("trainer_parameters", trainer_parameters, trainer, count);
  *count /= sizeof(float);
  return values;
}

float* gradients_of(uint32_t trainer, uint32_t* count) {
  float* values = read_all("trainer_gradients", trainer_gradients, trainer, count);
  *count /= sizeof(float);
  return values;
}

float* buffers_of(uint32_t trainer, uint32_t* count) {
  float* values = read_all("trainer_buffers", trainer_buffers, trainer, count);
  *count /= sizeof(float);
  return values;
}

unsigned char* checkpoint_of(uint32_t trainer, uint32_t* bytes) {
  return read_all("trainer_checkpoint", trainer_checkpoint, trainer, bytes);
}

float* output_of(uint32_t trainer, uint32_t index, uint32_t* count) {
  uint32_t* written = room(sizeof *written);
  wasmgrad_output_info* info = room(sizeof *info);
  uint32_t code = trainer_output(trainer, index, at(info), at(written), 0, at(written));
  if (!expect_errno(__FILE__, __LINE__, "trainer_output", code, WASMGRAD_SUCCESS)) return NULL;
  float* values = room(*written);
  *count = *written / sizeof *values;
  code = trainer_output(trainer, index, at(info), at(values), *written, at(written));
  return expect_errno(__FILE__, __LINE__, "trainer_output", code, WASMGRAD_SUCCESS) ? values : NULL;
}

unsigned char* file(const char* name, uint32_t* bytes) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE* opened_file = fopen(path, "rb");
  if (opened_file == NULL) {
    fail(__FILE__, __LINE__, "cannot open %s", path);
    return NULL;
  }
  fseek(opened_file, 0, SEEK_END);
  const long size = ftell(opened_file);
  rewind(opened_file);
  unsigned char* contents = room((size_t)size);
  *bytes = (uint32_t)fread(contents, 1, (size_t)size, opened_file);
  fclose(opened_file);
  return contents;
}

int fail(const char* file_name, int line, const char* format, ...) {
  if (failed_now) return 0;
  failed_now = 1;
  const char* slash = strrchr(file_name, '/');
  printf("FAIL %s: %s:%d: ", running, slash == NULL ? file_name : slash + 1, line);
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
  return 0;
}

int expect_errno(const char* file_name, int line, const char* call, uint32_t got, uint32_t expected) {
  if (got == expected) return 1;
  char* sentence = room(1024);
  uint32_t* written = room(sizeof *written);
  if (last_error(at(sentence), 1023, at(written)) != WASMGRAD_SUCCESS) *written = 0;
  return fail(file_name, line, "%s: expected errno %u, got %u: %.*s", call, expected, got, (int)*written,
              sentence);
}

int expect_number(const char* file_name, int line, const char* what, double got, double expected,
                  double tolerance) {
  if ((isnan(got) && isnan(expected)) || fabs(got - expected) <= tolerance) return 1;
  return fail(file_name, line, "%s: expected %.9g, got %.9g", what, expected, got);
}

void run_case(const char* name, void (*body)(void)) {
  running = name;
  failed_now = 0;
  arena_used = 1024; /* address 0 is a valid one, but a case that uses it by mistake should not work */
  body();
  while (n_open > 0) {
    --n_open;
    open_handles[n_open].close(open_handles[n_open].handle); /* the case may have closed it itself */
  }
  if (!failed_now) printf("pass %s\n", name);
  *(failed_now ? &failed : &passed) += 1;
  fflush(stdout);
}

static int result(void) {
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}

int run_suite(const char* models_directory) {
  directory = models_directory;
  run_error_cases(); /* first: before any other call there is no last error */
  run_tensor_cases();
  run_model_cases();
  run_dataset_cases();
  run_option_cases();
  run_trainer_cases();
  run_output_cases();
  run_exchange_cases();
  return result();
}

int run_owner_suite(const char* models_directory) {
  directory = models_directory;
  run_owner_cases();
  return result();
}
