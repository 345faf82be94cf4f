// Everything that can be chosen about a training run, with defaults, names and validation.
//
// Plain data without torch: guests, the command line, Python and checkpoints all fill or read the same
// structs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

// The enumerators' values are those of the guest ABI, where 0..2 (optimizers) and 0..1 (losses) are the
// original's.
enum class OptimizerKind : std::uint8_t { kAdam = 0, kRMSProp = 1, kSGD = 2, kAdamW = 3 };

enum class LossKind : std::uint8_t {
  kCrossEntropy = 0,        ///< the model's output is probabilities: mean of -log p[target]
  kCrossEntropyLogits = 1,  ///< the model's output is logits: mean of -log softmax(x)[target]
  kMSE = 2,
  kL1 = 3,
  kHuber = 4,  ///< delta 1
  kBCEWithLogits = 5,
};

enum class ScheduleKind : std::uint8_t { kConstant = 0, kStep = 1, kCosine = 2 };

/// Names as the command line and Python spell them: "adam", "rmsprop", "sgd", "adamw"; "cross_entropy"
/// (logits), "cross_entropy_probabilities", "mse", "l1", "huber", "bce_with_logits"; "constant", "step",
/// "cosine".
std::string_view name_of(OptimizerKind kind) noexcept;
std::string_view name_of(LossKind kind) noexcept;
std::string_view name_of(ScheduleKind kind) noexcept;
/// The reverse. Errors: kInvalidArgument with the list of known names.
Expected<OptimizerKind> parse_optimizer(std::string_view name);
Expected<LossKind> parse_loss(std::string_view name);
Expected<ScheduleKind> parse_schedule(std::string_view name);
/// From the guest ABI's numbers. Errors: kInvalidArgument with the list of known values.
Expected<OptimizerKind> optimizer_from_abi(std::int64_t value);
Expected<LossKind> loss_from_abi(std::int64_t value);

/// True for the losses whose targets are class indices (int64, shape [N]) and which therefore have an
/// accuracy.
bool is_classification(LossKind kind) noexcept;

/// Formulas and defaults are PyTorch's (torch.optim).
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdam;
  double learning_rate = 1e-4;
  double weight_decay = 0;  ///< L2 for all but AdamW, where it is decoupled
  double beta1 = 0.9;       ///< Adam, AdamW
  double beta2 = 0.999;     ///< Adam, AdamW
  double epsilon = 1e-8;    ///< Adam, AdamW, RMSProp
  double momentum = 0;      ///< SGD, RMSProp
  bool nesterov = false;    ///< SGD, with momentum above 0
  double alpha = 0.99;      ///< RMSProp smoothing
};

/// Learning rate at a given step, as a factor of OptimizerOptions::learning_rate.
struct ScheduleOptions {
  ScheduleKind kind = ScheduleKind::kConstant;
  std::int64_t warmup_epochs = 0;  ///< linear from 0 over this many epochs, before any kind
  std::int64_t step_epochs = 1;    ///< kStep: multiply by gamma every so many epochs
  double gamma = 0.1;              ///< kStep
  double minimum_factor = 0;       ///< kCosine: factor reached at the last step
};

/// How one output of a model is compared with its target.
struct OutputLoss {
  std::string output;  ///< its name, or its position in decimal
  LossKind kind = LossKind::kCrossEntropyLogits;
  double weight = 1;
};

/// What happens to one input of a model instead of TrainerOptions::input_scale and input_offset.
struct InputScale {
  std::string input;            ///< its name, or its position in decimal
  std::optional<double> scale;  ///< as TrainerOptions::input_scale
  double offset = 0;
};

/// What can be changed during a run.
inline constexpr std::array<std::string_view, 9> kSettings = {"learning_rate", "weight_decay", "momentum",
                                                              "beta1",         "beta2",        "epsilon",
                                                              "alpha",         "clip_norm",    "clip_value"};

struct TrainerOptions {
  OptimizerOptions optimizer;
  /// Of every output that has a target, when neither `losses` nor `model_loss` says otherwise. The loss is
  /// the sum over the outputs; accuracies are those of the first output with a classification loss.
  LossKind loss = LossKind::kCrossEntropyLogits;
  std::vector<OutputLoss> losses;  ///< only these outputs have a loss; empty: see `loss`
  /// The model computes its loss itself: forward takes the targets as arguments too, and returns a scalar or
  /// a dict with the key "loss". Its targets are not judged; whole numbers reach it as int64, others as f32.
  bool model_loss = false;
  /// Parameters that stay as they are: patterns of `*` and `?` over dotted names ("features.*"). Buffers are
  /// no parameters: batch statistics go on being updated.
  std::vector<std::string> freeze;
  ScheduleOptions schedule;
  std::int64_t epochs = 10;  ///< of fit()
  std::int64_t batch_size = 128;
  /// Batches whose mean gradient makes one optimizer step of fit() and train_epoch(); what is left at an
  /// epoch's end makes a smaller last one.
  std::int64_t accumulate = 1;
  std::optional<std::int64_t> batches_per_epoch;  ///< all of them when absent
  bool shuffle = true;                            ///< a new order each epoch, from `seed`
  std::uint64_t seed = 0;
  int threads = 0;                   ///< 0: as many as the process may use
  std::optional<double> clip_norm;   ///< global L2 norm of all gradients
  std::optional<double> clip_value;  ///< each gradient element
  std::int64_t top_k = 5;            ///< second accuracy; needs more than top_k classes
  /// Epochs without improvement of the validation loss, or of the training loss without validation data; 0:
  /// never stop.
  std::int64_t early_stopping_patience = 0;
  double early_stopping_min_delta = 0;
  /// A fit() that early stopping ended leaves the model with the weights and buffers of its best epoch.
  bool early_stopping_restore_best = true;
  std::optional<double> input_scale;  ///< x * scale + offset in f32; absent: 1/255 for u8, 1 otherwise
  double input_offset = 0;
  std::vector<InputScale> inputs;  ///< those that differ
  bool keep_integers = false;      ///< i32 and i64 inputs without a scale reach the model as int64
  bool by_position = false;        ///< names of tensors are for errors only
};

/// Changes one of kSettings; 0 turns a clip off. Errors: kNotFound for another key, kInvalidArgument for a
/// value that validate() refuses. `options` is as it was then.
Status set(TrainerOptions& options, std::string_view key, double value);

/// Errors: kInvalidArgument, naming the option, its value and what is allowed (NaN learning rate, batch size
/// 0, ...).
Status validate(const TrainerOptions& options);

}  // namespace wasmgrad::training
