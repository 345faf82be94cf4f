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
// [generated: enumerations]
enum class OptimizerKind : std::uint8_t {
  kAdam = 0,
  kRMSProp = 1,
  kSGD = 2,
  kAdamW = 3,
  kAdagrad = 4,
  kNAdam = 5,
  kRAdam = 6,
  kLion = 7,
  kLAMB = 8,
};
enum class LossKind : std::uint8_t {
  /// cross_entropy_probabilities: the model's output is probabilities: mean of -log p[target]
  kCrossEntropy = 0,
  /// cross_entropy: the model's output is logits: mean of -log softmax(x)[target]
  kCrossEntropyLogits = 1,
  kMSE = 2,
  kL1 = 3,
  kHuber = 4,
  kBCEWithLogits = 5,
  /// nll: the model's output is log-probabilities: mean of -x[target]
  kNLL = 6,
  /// kl_div: output log-probabilities, targets probabilities: sum over each sample, mean over the samples
  kKLDiv = 7,
  /// cosine: 1 - the cosine of the angle between the rows of output and targets
  kCosine = 8,
  /// focal: of one logit a class and targets from 0 to 1, as for dense detection
  kFocal = 9,
};
enum class ScheduleKind : std::uint8_t {
  kConstant = 0,
  kStep = 1,
  kCosine = 2,
  /// exponential: gamma once an epoch
  kExponential = 3,
  /// linear: a straight line to the minimum
  kLinear = 4,
  /// one_cycle: up to the learning rate and far down, both along a cosine
  kOneCycle = 5,
  /// plateau: gamma whenever the validation loss, or else the training loss, stopped falling
  kPlateau = 6,
};
enum class Precision : std::uint8_t {
  kF32 = 0,
  /// bf16: factors of products rounded to bfloat16; parameters, sums, norms and losses in f32
  kBF16 = 1,
};
// [/generated]

/// Names as the command line and Python spell them.
std::string_view name_of(OptimizerKind kind) noexcept;
std::string_view name_of(LossKind kind) noexcept;
std::string_view name_of(ScheduleKind kind) noexcept;
std::string_view name_of(Precision precision) noexcept;
/// The reverse. Errors: kInvalidArgument with the list of known names.
Expected<OptimizerKind> parse_optimizer(std::string_view name);
Expected<LossKind> parse_loss(std::string_view name);
Expected<ScheduleKind> parse_schedule(std::string_view name);
Expected<Precision> parse_precision(std::string_view name);
/// From the guest ABI's numbers. Errors: kInvalidArgument with the list of known values.
Expected<OptimizerKind> optimizer_from_abi(std::int64_t value);
Expected<LossKind> loss_from_abi(std::int64_t value);

/// True for the losses whose targets are class indices (int64, shape [N]) and which therefore have an
/// accuracy.
bool is_classification(LossKind kind) noexcept;

/// Parameters that are trained in another way than the others.
struct ParameterGroup {
  std::string parameters;               ///< a pattern of `*` and `?` over dotted names
  std::optional<double> learning_rate;  ///< instead of OptimizerOptions'; a schedule scales both alike
  std::optional<double> weight_decay;
};

/// Formulas and defaults are PyTorch's (torch.optim); Lion's are those of Chen et al. 2023 (algorithm 2),
/// LAMB's those of You et al. 2020 (algorithm 2, with bias correction and no bound on the ratio).
struct OptimizerOptions {
  // [generated: fields optimizer]
  /// Update rule, with PyTorch's formulas
  OptimizerKind kind = OptimizerKind::kAdam;
  /// Step size, which a schedule scales
  double learning_rate = 0.0001;
  /// L2 penalty; decoupled for adamw, lion and lamb
  double weight_decay = 0;
  /// Smoothing of the gradient's mean (adam, adamw, nadam, radam, lion, lamb)
  double beta1 = 0.9;
  /// Smoothing of the gradient's square, or lion's later one of the mean (adam, adamw, nadam, radam, lion,
  /// lamb)
  double beta2 = 0.999;
  /// Added to the divisor (adam, adamw, rmsprop, adagrad, nadam, radam, lamb)
  double epsilon = 1e-08;
  /// Divide by the largest square so far (adam, adamw)
  bool amsgrad = false;
  /// How fast the momentum approaches beta1 (nadam)
  double momentum_decay = 0.004;
  /// Share of the previous step that is kept (sgd, rmsprop)
  double momentum = 0;
  /// Nesterov's momentum; needs momentum above 0 and no dampening (sgd)
  bool nesterov = false;
  /// Share of a gradient that momentum leaves out (sgd)
  double dampening = 0;
  /// Smoothing of the gradient's square (rmsprop)
  double alpha = 0.99;
  // [/generated]
  std::vector<ParameterGroup> groups;  ///< a parameter is in the first that its name matches
};

/// Learning rate at a given step, as a factor of OptimizerOptions::learning_rate.
struct ScheduleOptions {
  // [generated: fields schedule]
  /// Learning rate over time
  ScheduleKind kind = ScheduleKind::kConstant;
  /// Epochs of linear warm-up from 0, before any schedule
  std::int64_t warmup_epochs = 0;
  /// Epochs between two decays (step)
  std::int64_t step_epochs = 1;
  /// Factor of each decay (step, exponential, plateau)
  double gamma = 0.1;
  /// Factor of the learning rate that is reached at the end of the run (cosine, linear)
  double minimum_factor = 0;
  /// Share of the run after which the learning rate is highest (one_cycle)
  double peak_at = 0.3;
  /// The first learning rate is the highest divided by this (one_cycle)
  double start_divisor = 25;
  /// The last learning rate is the first divided by this (one_cycle)
  double end_divisor = 10000;
  /// Epochs in a row without a loss lower by a ten-thousandth before a decay (plateau)
  std::int64_t plateau_patience = 10;
  // [/generated]
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
// [generated: settings]
// clang-format off
inline constexpr std::array<std::string_view, 10> kSettings = {
    "learning_rate",
    "weight_decay",
    "beta1",
    "beta2",
    "epsilon",
    "momentum_decay",
    "momentum",
    "alpha",
    "clip_norm",
    "clip_value",
};
// clang-format on
// [/generated]

struct TrainerOptions {
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  // The loss holds for every output that has a target, when neither `losses` nor `model_loss` says otherwise:
  // the loss of the model is the sum over the outputs, accuracies are those of the first with a
  // classification loss. [generated: fields trainer]
  /// Patterns of the parameters and running statistics that stay as they are; absent: nothing
  std::vector<std::string> freeze;
  /// Low-rank branches that are trained in place of the weights: PATTERN:RANK or PATTERN:RANK:ALPHA;
  /// absent: none
  std::vector<std::string> lora;
  /// Loss function; cross_entropy takes logits
  LossKind loss = LossKind::kCrossEntropyLogits;
  /// Weight of each class; the mean is over the weights (cross_entropy, cross_entropy_probabilities, nll);
  /// absent: all 1
  std::optional<std::vector<double>> class_weights;
  /// Class index of the targets that do not count (cross_entropy, cross_entropy_probabilities, nll)
  std::int64_t ignore_index = -100;
  /// Share of each target that is spread over all classes (cross_entropy)
  double label_smoothing = 0;
  /// Weight of the positive targets of each output in the last dimension, or one for all (bce_with_logits);
  /// absent: all 1
  std::optional<std::vector<double>> pos_weight;
  /// Difference from which the loss is linear (huber)
  double huber_delta = 1;
  /// How much less a target counts that is already predicted well (focal)
  double focal_gamma = 2;
  /// Weight of positive targets; negative ones have 1 - this (focal)
  double focal_alpha = 0.25;
  /// Passes over the training set, counting those before a resume
  std::int64_t epochs = 10;
  /// Samples a step; the last batch of an epoch may be smaller
  std::int64_t batch_size = 128;
  /// Rows of a prediction that are computed at a time; a model that looks across rows needs them all;
  /// absent: all rows
  std::optional<std::int64_t> predict_batch_size;
  /// Batches an epoch; absent: all
  std::optional<std::int64_t> batches_per_epoch;
  /// Leave out the last batch of an epoch when it is smaller than the others
  bool drop_last = false;
  /// A new order each epoch, drawn from the seed
  bool shuffle = true;
  /// Epochs that fail undo their steps, which takes a copy of the state, instead of keeping those completed
  bool restore_on_error = false;
  /// Where order and dropout start
  std::uint64_t seed = 0;
  /// Threads of the training host; 0 takes as many as the process may use
  std::int64_t threads = 0;
  /// Type that a training step multiplies in; bf16 pays on CPUs with AMX or AVX-512 BF16
  Precision precision = Precision::kF32;
  /// Run the model's graph rewritten for speed; without, PyTorch's operators one by one
  bool rewrites = true;
  /// Batches whose mean gradient makes one optimizer step
  std::int64_t accumulate = 1;
  /// Largest L2 norm of all gradients together; absent: no clipping
  std::optional<double> clip_norm;
  /// Largest absolute value of a gradient element; absent: no clipping
  std::optional<double> clip_value;
  /// k of the second accuracy
  std::int64_t top_k = 5;
  /// Epochs without improvement of the validation loss, or else the training loss, before stopping; 0 never
  /// stops
  std::int64_t early_stopping_patience = 0;
  /// What counts as an improvement
  double early_stopping_min_delta = 0;
  /// Stopped early, the model has the weights and buffers of its best epoch
  bool early_stopping_restore_best = true;
  /// Inputs become x * scale + offset in f32; absent: 1/255 for u8, else 1
  std::optional<double> input_scale;
  /// Added to every input after scaling
  double input_offset = 0;
  // [/generated]
  std::vector<OutputLoss> losses;  ///< only these outputs have a loss; empty: see `loss`
  /// The model computes its loss itself: forward takes the targets as arguments too, and returns a scalar or
  /// a dict with the key "loss". Its targets are not judged; whole numbers reach it as int64, others as f32.
  bool model_loss = false;
  std::vector<InputScale> inputs;  ///< those that differ from `input_scale` and `input_offset`
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
