/* How this guest ends: one sentence on standard error and an exit code. */
#pragma once

#include <stdint.h>

/* Prints "error: " and the sentence, and ends the guest with exit code 1, or 2 for a wrong command line. */
_Noreturn void fail(int exit_code, const char* format, ...) __attribute__((format(printf, 2, 3)));

/* Ends the guest with the host's sentence unless `code` is WASMGRAD_SUCCESS; with exit code 130 when the
 * owner asked to stop. */
void check(uint32_t code);

/* Memory, or the end of the guest. */
void* allocate(uint32_t bytes);
