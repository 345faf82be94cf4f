/* What the guest knows about its run, and the file in which it survives: a small header, the best weights,
 * then the trainer's checkpoint. The guests mnist_loop_* in the other languages write the same bytes. */
#pragma once

#include "wasmgrad/training_v1.h"

typedef struct progress {
  uint32_t epoch; /* epochs done */
  uint32_t stale; /* of them, how many since the validation loss was at its best */
  double learning_rate;
  double best_loss;
  /* Of the epoch with that loss: how many values, and from malloc the parameters, then the buffers. */
  uint32_t parameters, buffers;
  float* best;
} progress;

/* Takes what the model is now for the best there was. */
void note_best(progress* progress, double loss, wasmgrad_trainer trainer);
/* Puts the best weights back, if there are any. */
void show_best(const progress* progress, wasmgrad_trainer trainer);

/* Replaces the file, or leaves it as it was. A failure of any of these ends the guest with a sentence. */
void save_progress(const char* path, const progress* progress, wasmgrad_trainer trainer);
progress resume_progress(const char* path, wasmgrad_trainer trainer);
void save_model(const char* path, wasmgrad_model model);
