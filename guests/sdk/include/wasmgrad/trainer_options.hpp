// The options of a trainer as C++ values, and the JSON text that the host reads.
//
// What is not set is left out: the host has the defaults (docs/training-abi.md#options) and judges the
// values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/json.hpp"

namespace wasmgrad::v1 {

/// Parameters that are trained in another way than the others.
struct ParameterGroup {
  std::string parameters;  ///< a pattern of their names: "*.bias"
  std::optional<double> learning_rate = {};
  std::optional<double> weight_decay = {};

  [[nodiscard]] std::string to_json() const {
    return JsonObject()
        .add("parameters", parameters)
        .add("learning_rate", learning_rate)
        .add("weight_decay", weight_decay)
        .to_json();
  }
};

struct OptimizerOptions {
  std::string name = "adam";  ///< a name that docs/training-abi.md lists
  // [generated: fields optimizer]
  /// Step size, which a schedule scales
  std::optional<double> learning_rate = {};
  /// L2 penalty; decoupled for adamw, lion and lamb
  std::optional<double> weight_decay = {};
  /// Smoothing of the gradient's mean (adam, adamw, nadam, radam, lion, lamb)
  std::optional<double> beta1 = {};
  /// Smoothing of the gradient's square, or lion's later one of the mean (adam, adamw, nadam, radam, lion,
  /// lamb)
  std::optional<double> beta2 = {};
  /// Added to the divisor (adam, adamw, rmsprop, adagrad, nadam, radam, lamb)
  std::optional<double> epsilon = {};
  /// Divide by the largest square so far (adam, adamw)
  std::optional<bool> amsgrad = {};
  /// How fast the momentum approaches beta1 (nadam)
  std::optional<double> momentum_decay = {};
  /// Share of the previous step that is kept (sgd, rmsprop)
  std::optional<double> momentum = {};
  /// Nesterov's momentum; needs momentum above 0 and no dampening (sgd)
  std::optional<bool> nesterov = {};
  /// Share of a gradient that momentum leaves out (sgd)
  std::optional<double> dampening = {};
  /// Smoothing of the gradient's square (rmsprop)
  std::optional<double> alpha = {};
  // [/generated]
  std::vector<ParameterGroup> groups = {};  ///< the first that matches counts

  [[nodiscard]] std::string to_json() const {
    JsonObject object;
    object.add("name", name);
    // [generated: members optimizer]
    object.add("learning_rate", learning_rate);
    object.add("weight_decay", weight_decay);
    object.add("beta1", beta1);
    object.add("beta2", beta2);
    object.add("epsilon", epsilon);
    object.add("amsgrad", amsgrad);
    object.add("momentum_decay", momentum_decay);
    object.add("momentum", momentum);
    object.add("nesterov", nesterov);
    object.add("dampening", dampening);
    object.add("alpha", alpha);
    // [/generated]
    object.add("groups", groups);
    return object.to_json();
  }
};

/// The loss of one output, or of the whole model.
struct LossOptions {
  std::string name;         ///< cross_entropy, mse, ...; "model" when the model itself returns its loss
  std::string output = {};  ///< the output's name or position; empty: the model has one
  std::optional<double> weight = {};

  [[nodiscard]] std::string to_json() const {
    return JsonObject().add("name", name).add("weight", weight).to_json();
  }
};

struct ScheduleOptions {
  std::string name = "constant";  ///< constant, step or cosine
  // [generated: fields schedule]
  /// Epochs of linear warm-up from 0, before any schedule
  std::optional<std::uint32_t> warmup_epochs = {};
  /// Epochs between two decays (step)
  std::optional<std::uint32_t> step_epochs = {};
  /// Factor of each decay (step, exponential, plateau)
  std::optional<double> gamma = {};
  /// Factor of the learning rate that is reached at the end of the run (cosine, linear)
  std::optional<double> minimum_factor = {};
  /// Share of the run after which the learning rate is highest (one_cycle)
  std::optional<double> peak_at = {};
  /// The first learning rate is the highest divided by this (one_cycle)
  std::optional<double> start_divisor = {};
  /// The last learning rate is the first divided by this (one_cycle)
  std::optional<double> end_divisor = {};
  /// Epochs in a row without a loss lower by a ten-thousandth before a decay (plateau)
  std::optional<std::uint32_t> plateau_patience = {};
  // [/generated]

  [[nodiscard]] std::string to_json() const {
    JsonObject object;
    object.add("name", name);
    // [generated: members schedule]
    object.add("warmup_epochs", warmup_epochs);
    object.add("step_epochs", step_epochs);
    object.add("gamma", gamma);
    object.add("minimum_factor", minimum_factor);
    object.add("peak_at", peak_at);
    object.add("start_divisor", start_divisor);
    object.add("end_divisor", end_divisor);
    object.add("plateau_patience", plateau_patience);
    // [/generated]
    return object.to_json();
  }
};

/// Early stopping of Trainer::fit.
struct EarlyStoppingOptions {
  // [generated: fields early_stopping]
  /// Epochs without improvement of the validation loss, or else the training loss, before stopping; 0 never
  /// stops
  std::uint32_t patience = 3;
  /// What counts as an improvement
  double min_delta = 0.0;
  /// Stopped early, the model has the weights and buffers of its best epoch
  bool restore_best = true;
  // [/generated]

  [[nodiscard]] std::string to_json() const {
    JsonObject object;
    // [generated: members early_stopping]
    object.add("patience", patience);
    object.add("min_delta", min_delta);
    object.add("restore_best", restore_best);
    // [/generated]
    return object.to_json();
  }
};

/// An input becomes x * scale + offset.
struct InputOptions {
  std::string input;  ///< its name or position
  std::optional<double> scale = {};
  std::optional<double> offset = {};

  [[nodiscard]] std::string to_json() const {
    return JsonObject().add("scale", scale).add("offset", offset).to_json();
  }
};

struct TrainerOptions {
  OptimizerOptions optimizer = {};
  std::vector<LossOptions> losses = {};  ///< one without `output`, or one for each output that counts
  std::optional<ScheduleOptions> schedule = {};
  // [generated: fields trainer]
  /// Patterns of the parameters and running statistics that stay as they are
  std::vector<std::string> freeze = {};
  /// Low-rank branches that are trained in place of the weights: PATTERN:RANK or PATTERN:RANK:ALPHA
  std::vector<std::string> lora = {};
  /// Weight of each class; the mean is over the weights (cross_entropy, cross_entropy_probabilities, nll)
  std::optional<std::vector<double>> class_weights = {};
  /// Class index of the targets that do not count (cross_entropy, cross_entropy_probabilities, nll)
  std::optional<std::int32_t> ignore_index = {};
  /// Share of each target that is spread over all classes (cross_entropy)
  std::optional<double> label_smoothing = {};
  /// Weight of the positive targets of each output in the last dimension, or one for all (bce_with_logits)
  std::optional<std::vector<double>> pos_weight = {};
  /// Difference from which the loss is linear (huber)
  std::optional<double> huber_delta = {};
  /// How much less a target counts that is already predicted well (focal)
  std::optional<double> focal_gamma = {};
  /// Weight of positive targets; negative ones have 1 - this (focal)
  std::optional<double> focal_alpha = {};
  /// Passes over the training set, counting those before a resume
  std::optional<std::uint32_t> epochs = {};
  /// Samples a step; the last batch of an epoch may be smaller
  std::optional<std::uint32_t> batch_size = {};
  /// Rows of a prediction that are computed at a time; a model that looks across rows needs them all
  std::optional<std::uint32_t> predict_batch_size = {};
  /// Batches an epoch
  std::optional<std::uint32_t> batches_per_epoch = {};
  /// Leave out the last batch of an epoch when it is smaller than the others
  std::optional<bool> drop_last = {};
  /// A new order each epoch, drawn from the seed
  std::optional<bool> shuffle = {};
  /// Epochs that fail undo their steps, which takes a copy of the state, instead of keeping those completed
  std::optional<bool> restore_on_error = {};
  /// Where order and dropout start
  std::optional<std::uint64_t> seed = {};
  /// Threads of the training host; 0 takes as many as the process may use
  std::optional<std::uint32_t> threads = {};
  /// Type that a training step multiplies in; bf16 pays on CPUs with AMX or AVX-512 BF16
  std::optional<std::string> precision = {};
  /// Run the model's graph rewritten for speed; without, PyTorch's operators one by one
  std::optional<bool> rewrites = {};
  /// Batches whose mean gradient makes one optimizer step
  std::optional<std::uint32_t> accumulate = {};
  /// Largest L2 norm of all gradients together
  std::optional<double> clip_norm = {};
  /// Largest absolute value of a gradient element
  std::optional<double> clip_value = {};
  /// k of the second accuracy
  std::optional<std::uint32_t> top_k = {};
  // [/generated]
  std::optional<EarlyStoppingOptions> early_stopping = {};
  std::vector<InputOptions> inputs = {};

  [[nodiscard]] std::string to_json() const {
    JsonObject object;
    object.add("optimizer", optimizer);
    if (losses.size() == 1 && losses[0].output.empty() && !losses[0].weight) {
      object.add("loss", losses[0].name);
    } else if (!losses.empty()) {
      JsonObject outputs;
      for (const LossOptions& loss : losses) outputs.add(loss.output, loss);
      object.add("loss", outputs);
    }
    object.add("schedule", schedule);
    // [generated: members trainer]
    object.add("freeze", freeze);
    object.add("lora", lora);
    object.add("class_weights", class_weights);
    object.add("ignore_index", ignore_index);
    object.add("label_smoothing", label_smoothing);
    object.add("pos_weight", pos_weight);
    object.add("huber_delta", huber_delta);
    object.add("focal_gamma", focal_gamma);
    object.add("focal_alpha", focal_alpha);
    object.add("epochs", epochs);
    object.add("batch_size", batch_size);
    object.add("predict_batch_size", predict_batch_size);
    object.add("batches_per_epoch", batches_per_epoch);
    object.add("drop_last", drop_last);
    object.add("shuffle", shuffle);
    object.add("restore_on_error", restore_on_error);
    object.add("seed", seed);
    object.add("threads", threads);
    object.add("precision", precision);
    object.add("rewrites", rewrites);
    object.add("accumulate", accumulate);
    object.add("clip_norm", clip_norm);
    object.add("clip_value", clip_value);
    object.add("top_k", top_k);
    // [/generated]
    object.add("early_stopping", early_stopping);
    if (!inputs.empty()) {
      JsonObject scaled;
      for (const InputOptions& input : inputs) scaled.add(input.input, input);
      object.add("inputs", scaled);
    }
    return object.to_json();
  }
};

}  // namespace wasmgrad::v1
