/* Trains a digit classifier with a training loop of its own: validation, learning rate, early stopping and
 * checkpoints are decided here, the host computes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digits.h"
#include "guest.h"
#include "progress.h"
#include "wasmgrad/training_v1.h"

static const char usage[] =
    "usage: mnist_loop_c.wasm [options]\n\n"
    "  --epochs N    at most this many, those before a --resume included (default 10)\n"
    "  --batches N   train only N batches an epoch (default 0: all)\n"
    "  --data DIR    directory of the four raw IDX files (default /data)\n"
    "  --out DIR     directory for the checkpoint and the trained model (default /out)\n"
    "  --model NAME  a model that was granted (default model.pt)\n"
    "  --seed N      of the split and of the order of samples (default 0)\n"
    "  --resume      go on from the checkpoint in --out\n";

enum { PATIENCE = 3 };

typedef struct settings {
  uint32_t epochs;
  uint32_t batches;
  uint32_t seed;
  const char* data;
  const char* out;
  const char* model;
  int resume;
} settings;

static uint32_t whole_number(const char* option, const char* text) {
  char* end;
  const unsigned long number = strtoul(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0') fail(2, "%s takes a whole number, not '%s'", option, text);
  return (uint32_t)number;
}

static settings parse(int argc, char** argv) {
  settings settings = {.epochs = 10, .data = "/data", .out = "/out", .model = "model.pt"};
  for (int i = 1; i < argc; ++i) {
    const char* option = argv[i];
    if (strcmp(option, "--help") == 0) {
      fputs(usage, stdout);
      exit(0);
    }
    if (strcmp(option, "--resume") == 0) {
      settings.resume = 1;
      continue;
    }
    if (i + 1 == argc) fail(2, "'%s' is unknown or needs a value; --help lists the options", option);
    const char* value = argv[++i];
    if (strcmp(option, "--epochs") == 0) {
      settings.epochs = whole_number(option, value);
    } else if (strcmp(option, "--batches") == 0) {
      settings.batches = whole_number(option, value);
    } else if (strcmp(option, "--seed") == 0) {
      settings.seed = whole_number(option, value);
    } else if (strcmp(option, "--data") == 0) {
      settings.data = value;
    } else if (strcmp(option, "--out") == 0) {
      settings.out = value;
    } else if (strcmp(option, "--model") == 0) {
      settings.model = value;
    } else {
      fail(2, "unknown option '%s'; --help lists the known ones", option);
    }
  }
  return settings;
}

static wasmgrad_trainer create_trainer(wasmgrad_model model, const settings* settings) {
  char limit[40] = "";
  if (settings->batches != 0) snprintf(limit, sizeof limit, ", \"batches_per_epoch\": %u", settings->batches);
  char options[256];
  const int length =
      snprintf(options, sizeof options,
               "{\"optimizer\": \"adam\", \"loss\": \"cross_entropy\", \"batch_size\": 128, \"seed\": %u, "
               "\"inputs\": {\"0\": {\"scale\": %.17g}}%s}",
               settings->seed, 1.0 / 255, limit);
  wasmgrad_trainer trainer;
  check(wasmgrad_trainer_create(model, options, (uint32_t)length, &trainer));
  return trainer;
}

static void print_sizes(wasmgrad_dataset train, wasmgrad_dataset validation, wasmgrad_dataset test) {
  uint64_t rows[3];
  check(wasmgrad_dataset_size(train, &rows[0]));
  check(wasmgrad_dataset_size(validation, &rows[1]));
  check(wasmgrad_dataset_size(test, &rows[2]));
  printf("training on %" PRIu64 " images, validating on %" PRIu64 ", testing on %" PRIu64 "\n", rows[0],
         rows[1], rows[2]);
  fflush(stdout);
}

static void train_epoch(wasmgrad_trainer trainer, wasmgrad_dataset train, wasmgrad_dataset validation,
                        progress* progress, const char* checkpoint) {
  static const char key[] = "learning_rate";
  check(wasmgrad_trainer_set(trainer, key, sizeof key - 1, progress->learning_rate));
  wasmgrad_metrics trained, judged;
  const uint32_t done = wasmgrad_trainer_epoch(trainer, train, &trained);
  if (done == WASMGRAD_INTERRUPTED) save_progress(checkpoint, progress, trainer); /* within the epoch */
  check(done);
  check(wasmgrad_trainer_evaluate(trainer, validation, &judged));
  ++progress->epoch;
  printf("epoch %u: training loss %.4f, validation loss %.4f, validation accuracy %.4f, learning rate %.6f\n",
         progress->epoch, trained.loss, judged.loss, judged.accuracy, progress->learning_rate);
  fflush(stdout);
  if (judged.loss < progress->best_loss) {
    note_best(progress, judged.loss, trainer);
    progress->stale = 0;
  } else {
    progress->learning_rate /= 2;
    ++progress->stale;
  }
}

int main(int argc, char** argv) {
  const settings settings = parse(argc, argv);
  const wasmgrad_dataset all = upload(settings.data, "train");
  const double fractions[] = {0.9, 0.1};
  wasmgrad_dataset parts[2];
  check(wasmgrad_dataset_split(all, fractions, 2, settings.seed, parts));
  const wasmgrad_dataset test = upload(settings.data, "t10k");
  print_sizes(parts[0], parts[1], test);

  wasmgrad_model model;
  check(wasmgrad_model_load_by_name(settings.model, strlen(settings.model), WASMGRAD_TARGET_CPU, &model));
  const wasmgrad_trainer trainer = create_trainer(model, &settings);

  char checkpoint[512], trained[512];
  snprintf(checkpoint, sizeof checkpoint, "%s/loop.checkpoint", settings.out);
  snprintf(trained, sizeof trained, "%s/trained.pt", settings.out);
  progress progress = {.learning_rate = 1e-3, .best_loss = INFINITY};
  if (settings.resume) {
    progress = resume_progress(checkpoint, trainer);
    printf("resuming after epoch %u\n", progress.epoch);
  }
  while (progress.epoch < settings.epochs && progress.stale < PATIENCE) {
    train_epoch(trainer, parts[0], parts[1], &progress, checkpoint);
    save_progress(checkpoint, &progress, trainer);
  }
  if (progress.stale == PATIENCE) printf("stopping: no better validation loss in %d epochs\n", PATIENCE);

  show_best(&progress, trainer); /* what the last epochs made worse is not what is saved */
  wasmgrad_metrics result;
  check(wasmgrad_trainer_evaluate(trainer, test, &result));
  printf("test loss %.4f, test accuracy %.4f\n", result.loss, result.accuracy);
  save_model(trained, model);
  printf("wrote %s\n", trained);
  /* What the guest still owns on the host is closed when it ends. */
  return 0;
}
