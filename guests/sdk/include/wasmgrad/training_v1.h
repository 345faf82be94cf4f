/* wasmgrad:training@0.1 as a C guest sees it: models, datasets and trainers that live on the host, and the
 * calls that let a guest own its training loop.
 *
 * Plain C11 for wasm32, no library. This header is the one definition of the interface: docs/training-abi.md
 * is generated from it, and the host checks its own layout against it.
 *
 * Rules that hold for every function:
 * - The result is an errno. Nothing traps: a bad pointer, handle, length or enumerator is
 * WASMGRAD_INVALID_ARGUMENT. wasmgrad_last_error() has the sentence behind the last one.
 * - On an error nothing has changed. Only last_error's text is written and, for WASMGRAD_TOO_LARGE, the size
 * that is needed. Two functions are many steps, wasmgrad_trainer_fit and wasmgrad_trainer_epoch: they keep
 * the steps that they completed, and then write what those were.
 * - A handle belongs to the guest until it closes it. 0 is never a handle, and a closed handle's number is
 * never used again. Closing a model or a dataset that a trainer uses is allowed: it lives on until the
 * trainer is closed.
 * - Everything that the guest passes is copied during the call; the host keeps no address.
 * - Results of unknown size are read with (buffer, buffer_bytes, written): the size in bytes is stored to
 * `written`, and the bytes to `buffer` when they fit. When they do not, the result is WASMGRAD_TOO_LARGE;
 * with buffer_bytes 0, which only asks for the size, it is success. */
#ifndef WASMGRAD_TRAINING_V1_H
#define WASMGRAD_TRAINING_V1_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WASMGRAD_TRAINING_MODULE "wasmgrad:training@0.1"

/* Why a call failed; the numbers are wasi-nn's nn_errno. */
typedef enum wasmgrad_errno {
  WASMGRAD_SUCCESS = 0,
  WASMGRAD_INVALID_ARGUMENT = 1, /* out of range, contradicts another argument, or no such handle */
  WASMGRAD_INVALID_ENCODING = 2, /* bytes are not in the format they should be in */
  WASMGRAD_TIMEOUT = 3,          /* the call's time limit was reached (wasmgrad's ends the guest instead) */
  WASMGRAD_RUNTIME_ERROR = 4,    /* the operation itself failed: the loss is not finite, out of memory, ... */
  WASMGRAD_UNSUPPORTED_OPERATION = 5, /* well formed, but this host cannot do it */
  WASMGRAD_TOO_LARGE = 6,             /* a buffer is too small, or a limit of the owner would be exceeded */
  WASMGRAD_NOT_FOUND = 7,             /* a named thing does not exist */
  WASMGRAD_SECURITY = 8,              /* refused: the model is not one that may run here */
  WASMGRAD_UNKNOWN = 9,               /* a fault of the host itself, for which there is no other number */
  WASMGRAD_INTERRUPTED = 10 /* the owner asked to stop, or allows no more epochs: save what matters and return
                             * from main, with exit code 130 if nothing better is at hand */
} wasmgrad_errno;

/* Element types, little-endian. The numbers are wasi-nn's tensor types, then bf16. */
typedef enum wasmgrad_tensor_type {
  WASMGRAD_TYPE_F16 = 0,
  WASMGRAD_TYPE_F32 = 1,
  WASMGRAD_TYPE_F64 = 2,
  WASMGRAD_TYPE_U8 = 3,
  WASMGRAD_TYPE_I32 = 4,
  WASMGRAD_TYPE_I64 = 5,
  WASMGRAD_TYPE_BF16 = 6
} wasmgrad_tensor_type;

/* File formats of models. */
typedef enum wasmgrad_encoding {
  WASMGRAD_ENCODING_AUTODETECT = 0,   /* load only: told by the bytes */
  WASMGRAD_ENCODING_TORCHSCRIPT = 1,  /* torch.jit.save */
  WASMGRAD_ENCODING_TORCH_EXPORT = 2, /* load only: torch.export.save */
  WASMGRAD_ENCODING_SAFETENSORS = 3,  /* export only: parameters and buffers under their names */
  WASMGRAD_ENCODING_LORA = 4 /* export only: low-rank branches, as PEFT's adapter_model.safetensors */
} wasmgrad_encoding;

typedef enum wasmgrad_execution_target { WASMGRAD_TARGET_CPU = 0 } wasmgrad_execution_target;

typedef uint32_t wasmgrad_model;
typedef uint32_t wasmgrad_dataset;
typedef uint32_t wasmgrad_trainer;

/* A tensor in the guest's memory: wasi-nn's record. Elements are dense and row-major; no alignment is needed.
 */
typedef struct wasmgrad_tensor_record {
  const uint32_t* dims;
  uint32_t rank; /* how many dims, at most 16 */
  uint8_t type;  /* wasmgrad_tensor_type */
  const void* data;
  uint32_t data_bytes; /* exactly the product of the dims times the element size */
} wasmgrad_tensor_record;

/* A tensor with a name. A list of tensors is matched with a model's arguments or outputs by name; when no
 * tensor of the list has a name, by position: all have one, or none. Names are UTF-8, not terminated, of at
 * most 1024 bytes; a list of more than 1024 tensors is WASMGRAD_TOO_LARGE. */
typedef struct wasmgrad_named_tensor {
  const char* name;
  uint32_t name_bytes;
  wasmgrad_tensor_record tensor;
} wasmgrad_named_tensor;

/* What a pass over samples measured. NaN where there is no such figure. */
typedef struct wasmgrad_metrics {
  double loss;           /* mean over the samples */
  double accuracy;       /* 0..1, of the first output with a classification loss */
  double top_k_accuracy; /* 0..1; NaN unless there are more than k classes */
  double learning_rate;  /* that of the last step; NaN when nothing was trained */
  double seconds;        /* spent on the host */
  uint64_t samples;      /* in this pass */
  uint64_t step;         /* optimizer steps that the trainer has done in all */
  uint64_t epoch;        /* whole epochs that the trainer has done in all */
} wasmgrad_metrics;

/* What wasmgrad_trainer_fit did. */
typedef struct wasmgrad_fit_report {
  wasmgrad_metrics train;      /* over the last epoch */
  wasmgrad_metrics validation; /* after the last epoch; all NaN and 0 without validation data */
  uint32_t epochs;             /* whole epochs done by this call */
  uint32_t stopped_early; /* 1: by the early-stopping option; wasmgrad_progress says which epoch was best */
} wasmgrad_fit_report;

/* Where a trainer stands. */
typedef struct wasmgrad_progress {
  uint64_t epoch;      /* whole epochs that the trainer has done in all */
  uint64_t step;       /* optimizer steps that it has done in all */
  uint64_t batch;      /* batches done in the epoch under way, when one was interrupted */
  uint64_t best_epoch; /* the best of fit by early stopping's measure, from 1; 0: none yet */
  double best_loss;    /* that of the best epoch; NaN without one */
  uint32_t resumed;    /* 1: the owner's checkpoint was restored into it when it was created */
  uint32_t shows_best; /* 1: the model has the weights of best_epoch, as early stopping ended the last fit */
  uint32_t stop_requested; /* 1: the owner asked to stop; calls that train are WASMGRAD_INTERRUPTED */
  uint32_t owner_epochs;   /* how many epochs the owner wants in all; 0: that is left to the guest */
} wasmgrad_progress;

/* An output of the last prediction. */
typedef struct wasmgrad_output_info {
  uint32_t type; /* wasmgrad_tensor_type */
  uint32_t rank;
  uint32_t dims[16]; /* the first `rank` of them */
} wasmgrad_output_info;

#define WASMGRAD_IMPORT(name) __attribute__((import_module(WASMGRAD_TRAINING_MODULE), import_name(name)))

/* ---- Models ---- */

/* Loads a model from bytes. It is vetted first: a file that could do more than compute is WASMGRAD_SECURITY.
 */
WASMGRAD_IMPORT("model_load")
uint32_t wasmgrad_model_load(const void* bytes, uint32_t size, uint32_t encoding, uint32_t target,
                             wasmgrad_model* model);

/* Loads a model that the owner granted under this name. */
WASMGRAD_IMPORT("model_load_by_name")
uint32_t wasmgrad_model_load_by_name(const char* name, uint32_t name_bytes, uint32_t target,
                                     wasmgrad_model* model);

/* The model with its present weights, as bytes of `encoding`. */
WASMGRAD_IMPORT("model_export")
uint32_t wasmgrad_model_export(wasmgrad_model model, uint32_t encoding, void* buffer, uint32_t buffer_bytes,
                               uint32_t* written);

WASMGRAD_IMPORT("model_close") uint32_t wasmgrad_model_close(wasmgrad_model model);

/* ---- Datasets ---- */

/* An empty dataset. Its first block decides the columns: names, types, and shapes but for the first
 * dimension. */
WASMGRAD_IMPORT("dataset_create") uint32_t wasmgrad_dataset_create(wasmgrad_dataset* dataset);

/* Appends a block of rows: each tensor's first dimension counts them and is the same for all. A dataset that
 * was split or given to a trainer cannot grow any more. */
WASMGRAD_IMPORT("dataset_append")
uint32_t wasmgrad_dataset_append(wasmgrad_dataset dataset, const wasmgrad_named_tensor* inputs,
                                 uint32_t n_inputs, const wasmgrad_named_tensor* targets, uint32_t n_targets);

/* Deals the rows into n new datasets, in an order drawn from `seed`. Each fraction is in 0..1 and their sum
 * at most 1 (within 1e-9); part i has floor(fraction * rows) rows, and the last part takes what is left when
 * the sum is 1. The parts share the rows' memory with `dataset`, which stays as it is. */
WASMGRAD_IMPORT("dataset_split")
uint32_t wasmgrad_dataset_split(wasmgrad_dataset dataset, const double* fractions, uint32_t n, uint64_t seed,
                                wasmgrad_dataset* parts);

/* The number of rows. */
WASMGRAD_IMPORT("dataset_size") uint32_t wasmgrad_dataset_size(wasmgrad_dataset dataset, uint64_t* rows);

WASMGRAD_IMPORT("dataset_close") uint32_t wasmgrad_dataset_close(wasmgrad_dataset dataset);

/* ---- Trainers ---- */

/* A trainer of `model`, which has at most one at a time. `options` is a JSON object, described in
 * docs/training-abi.md#options; an unknown key is an error. Owners may override what it says. */
WASMGRAD_IMPORT("trainer_create")
uint32_t wasmgrad_trainer_create(wasmgrad_model model, const char* options, uint32_t options_bytes,
                                 wasmgrad_trainer* trainer);

/* Trains `epochs` more epochs, each followed by an evaluation of `validation` (0: none), unless early
 * stopping or the owner ends it sooner. Epochs of a checkpoint that the owner resumed count: the guest asks
 * for the same number as the first time, and only those that are missing are trained, none when there are
 * enough. Early stopping leaves the model with the weights and buffers of the best epoch, unless its option
 * restore_best is off: evaluation, prediction and export use them. Training goes on from those of the last
 * epoch, also after trainer_restore: a checkpoint has both. A step that fails ends the call and leaves no
 * trace. The steps before it are kept; if there are any, `report` is written: its `epochs` counts whole ones,
 * and `train` is over the steps of the epoch that failed. The next call goes on with the batch that failed.
 * With the option restore_on_error all steps of the call are undone instead. */
WASMGRAD_IMPORT("trainer_fit")
uint32_t wasmgrad_trainer_fit(wasmgrad_trainer trainer, wasmgrad_dataset train, wasmgrad_dataset validation,
                              uint32_t epochs, wasmgrad_fit_report* report);

/* Trains one epoch. When a step fails, those before it are kept, as in wasmgrad_trainer_fit, and `metrics`
 * are over them. */
WASMGRAD_IMPORT("trainer_epoch")
uint32_t wasmgrad_trainer_epoch(wasmgrad_trainer trainer, wasmgrad_dataset train, wasmgrad_metrics* metrics);

/* Trains one batch, given by the guest: backward, then apply. It happens whole or not at all: on an error
 * parameters, buffers, optimizer and counters are as they were. */
WASMGRAD_IMPORT("trainer_step")
uint32_t wasmgrad_trainer_step(wasmgrad_trainer trainer, const wasmgrad_named_tensor* inputs,
                               uint32_t n_inputs, const wasmgrad_named_tensor* targets, uint32_t n_targets,
                               wasmgrad_metrics* metrics);

/* Adds the gradient of the batch's mean loss to the trainer's gradients. On an error nothing has changed. */
WASMGRAD_IMPORT("trainer_backward")
uint32_t wasmgrad_trainer_backward(wasmgrad_trainer trainer, const wasmgrad_named_tensor* inputs,
                                   uint32_t n_inputs, const wasmgrad_named_tensor* targets,
                                   uint32_t n_targets, wasmgrad_metrics* metrics);

/* One optimizer step with the mean of the gradients that backward() added since the last one; clears them.
 * Without any gradients the result is WASMGRAD_INVALID_ARGUMENT. */
WASMGRAD_IMPORT("trainer_apply") uint32_t wasmgrad_trainer_apply(wasmgrad_trainer trainer);

/* Loss and accuracy in evaluation mode, in batches of the option batch_size. Buffers of the model stay. */
WASMGRAD_IMPORT("trainer_evaluate")
uint32_t wasmgrad_trainer_evaluate(wasmgrad_trainer trainer, wasmgrad_dataset dataset,
                                   wasmgrad_metrics* metrics);

/* Where the trainer stands: what a loop of the guest's own begins with, since the owner may have resumed a
 * checkpoint. */
WASMGRAD_IMPORT("trainer_progress")
uint32_t wasmgrad_trainer_progress(wasmgrad_trainer trainer, wasmgrad_progress* progress);

/* Runs the model in evaluation mode and keeps its outputs until the next prediction; `outputs` is their
 * number. All rows are one batch, unless the option predict_batch_size cuts them. Buffers of the model stay.
 */
WASMGRAD_IMPORT("trainer_predict")
uint32_t wasmgrad_trainer_predict(wasmgrad_trainer trainer, const wasmgrad_named_tensor* inputs,
                                  uint32_t n_inputs, uint32_t* outputs);

/* Output `index` of the last prediction: its type and shape, and its elements as bytes. */
WASMGRAD_IMPORT("trainer_output")
uint32_t wasmgrad_trainer_output(wasmgrad_trainer trainer, uint32_t index, wasmgrad_output_info* info,
                                 void* buffer, uint32_t buffer_bytes, uint32_t* written);

/* Changes a hyper-parameter from the next step on: one that the table of options marks as such
 * (docs/training-abi.md#options), for example "learning_rate"; 0 turns "clip_norm" and "clip_value" off. A
 * learning rate that was set replaces the base rate, which the schedule still scales. An unknown key is
 * WASMGRAD_NOT_FOUND; one that the owner decided is WASMGRAD_UNSUPPORTED_OPERATION, and stays. */
WASMGRAD_IMPORT("trainer_set")
uint32_t wasmgrad_trainer_set(wasmgrad_trainer trainer, const char* key, uint32_t key_bytes, double value);

/* The trainable parameters as f32, one after the other in the model's order: what federated averaging
 * exchanges, together with the buffers of a model that has some. */
WASMGRAD_IMPORT("trainer_parameters")
uint32_t wasmgrad_trainer_parameters(wasmgrad_trainer trainer, float* buffer, uint32_t buffer_bytes,
                                     uint32_t* written);

/* Replaces the parameters. `bytes` is exactly their size; every value must be finite. The optimizer's state
 * stays. */
WASMGRAD_IMPORT("trainer_set_parameters")
uint32_t wasmgrad_trainer_set_parameters(wasmgrad_trainer trainer, const float* values, uint32_t bytes);

/* The mean of the gradients that backward() added since the last apply(), in the order and size of the
 * parameters; 0 where a parameter has none. */
WASMGRAD_IMPORT("trainer_gradients")
uint32_t wasmgrad_trainer_gradients(wasmgrad_trainer trainer, float* buffer, uint32_t buffer_bytes,
                                    uint32_t* written);

/* Replaces the gradients: apply() then uses these. */
WASMGRAD_IMPORT("trainer_set_gradients")
uint32_t wasmgrad_trainer_set_gradients(wasmgrad_trainer trainer, const float* values, uint32_t bytes);

/* The model's buffers of floating point as f32, one after the other in the model's order: the running mean
 * and variance of batch norm, and the like. They are not parameters, but evaluation computes with them: when
 * models are averaged, average them too. A model without any gives 0 bytes. */
WASMGRAD_IMPORT("trainer_buffers")
uint32_t wasmgrad_trainer_buffers(wasmgrad_trainer trainer, float* buffer, uint32_t buffer_bytes,
                                  uint32_t* written);

/* Replaces the buffers. `bytes` is exactly their size; every value must be finite, or what the buffer holds
 * already. Setting what trainer_buffers gave changes no bit. */
WASMGRAD_IMPORT("trainer_set_buffers")
uint32_t wasmgrad_trainer_set_buffers(wasmgrad_trainer trainer, const float* values, uint32_t bytes);

/* The trainer's whole state (parameters, buffers, optimizer, counters) as a safetensors file. Gradients that
 * were not applied are not part of it: while there are any, the result is WASMGRAD_INVALID_ARGUMENT, as it is
 * for fit and epoch. */
WASMGRAD_IMPORT("trainer_checkpoint")
uint32_t wasmgrad_trainer_checkpoint(wasmgrad_trainer trainer, void* buffer, uint32_t buffer_bytes,
                                     uint32_t* written);

/* Restores a checkpoint into a trainer of the same model and options. The run then goes on bit by bit as if
 * it had not ended. */
WASMGRAD_IMPORT("trainer_restore")
uint32_t wasmgrad_trainer_restore(wasmgrad_trainer trainer, const void* checkpoint, uint32_t bytes);

WASMGRAD_IMPORT("trainer_close") uint32_t wasmgrad_trainer_close(wasmgrad_trainer trainer);

/* ---- Processes ---- */

/* How many processes train together, and which of them, from 0, this one is; alone: 0 of 1. The guest runs in
 * each, and makes the same calls in the same order: those that train and evaluate wait for the others, and
 * their metrics are those of all. Without the owner's --shard every guest reads all data, gives whole
 * batches, and each process computes its part of them. With it, each guest reads data of its own. */
WASMGRAD_IMPORT("process_group") uint32_t wasmgrad_process_group(uint32_t* rank, uint32_t* size);

/* ---- Runs ---- */

/* What the owner's configuration of this run has under this name, as text: UTF-8, not terminated; a number in
 * decimal, a truth value as true or false. Without such a name the result is WASMGRAD_NOT_FOUND. */
WASMGRAD_IMPORT("run_config")
uint32_t wasmgrad_run_config(const char* key, uint32_t key_bytes, char* buffer, uint32_t buffer_bytes,
                             uint32_t* written);

/* Tells the owner a figure of the guest's own under a name: a number of any kind, as often as 100,000 times.
 * The last under each name is the run's. */
WASMGRAD_IMPORT("run_report")
uint32_t wasmgrad_run_report(const char* name, uint32_t name_bytes, double value);

/* ---- Errors ---- */

/* The sentence behind the last call that failed, UTF-8, not terminated; empty before the first. */
WASMGRAD_IMPORT("last_error")
uint32_t wasmgrad_last_error(char* buffer, uint32_t buffer_bytes, uint32_t* written);

#undef WASMGRAD_IMPORT

#ifdef __cplusplus
#define WASMGRAD_LAYOUT_ASSERT(condition) static_assert(condition, #condition)
#else
#define WASMGRAD_LAYOUT_ASSERT(condition) _Static_assert(condition, #condition)
#endif

#ifdef __wasm32__
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor_record, dims) == 0);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor_record, rank) == 4);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor_record, type) == 8);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor_record, data) == 12);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_tensor_record, data_bytes) == 16);
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_tensor_record) == 20);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_named_tensor, name_bytes) == 4);
WASMGRAD_LAYOUT_ASSERT(offsetof(wasmgrad_named_tensor, tensor) == 8);
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_named_tensor) == 28);
#endif
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_metrics) == 64);
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_fit_report) == 136);
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_progress) == 56);
WASMGRAD_LAYOUT_ASSERT(sizeof(wasmgrad_output_info) == 72);

#undef WASMGRAD_LAYOUT_ASSERT

#ifdef __cplusplus
}
#endif

#endif
