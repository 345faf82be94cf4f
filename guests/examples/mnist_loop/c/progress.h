/* What the guest knows about its run, and the file in which it survives: a small header, then the trainer's
 * checkpoint. The guests mnist_loop_* in the other languages write the same bytes. */
#pragma once

#include "wasmgrad/training_v1.h"

typedef struct progress {
  uint32_t epoch; /* epochs done */
  uint32_t stale; /* of them, how many since the validation loss was at its best */
  double learning_rate;
  double best_loss;
} progress;
_Static_assert(sizeof(progress) == 24, "the file has no padding");

/* Replaces the file, or leaves it as it was. A failure of any of these ends the guest with a sentence. */
void save_progress(const char* path, const progress* progress, wasmgrad_trainer trainer);
progress resume_progress(const char* path, wasmgrad_trainer trainer);
void save_model(const char* path, wasmgrad_model model);
