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

struct OptimizerOptions {
  std::string name = "adam";  ///< adam, adamw, rmsprop or sgd
  std::optional<double> learning_rate = {};
  std::optional<double> weight_decay = {};
  std::optional<double> beta1 = {};     ///< adam, adamw
  std::optional<double> beta2 = {};     ///< adam, adamw
  std::optional<double> epsilon = {};   ///< adam, adamw, rmsprop
  std::optional<double> momentum = {};  ///< sgd, rmsprop
  std::optional<bool> nesterov = {};    ///< sgd
  std::optional<double> alpha = {};     ///< rmsprop

  [[nodiscard]] std::string to_json() const {
    return JsonObject()
        .add("name", name)
        .add("learning_rate", learning_rate)
        .add("weight_decay", weight_decay)
        .add("beta1", beta1)
        .add("beta2", beta2)
        .add("epsilon", epsilon)
        .add("momentum", momentum)
        .add("nesterov", nesterov)
        .add("alpha", alpha)
        .to_json();
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
  std::optional<std::uint32_t> warmup_epochs = {};
  std::optional<std::uint32_t> step_epochs = {};  ///< step
  std::optional<double> gamma = {};               ///< step
  std::optional<double> minimum_factor = {};      ///< cosine

  [[nodiscard]] std::string to_json() const {
    return JsonObject()
        .add("name", name)
        .add("warmup_epochs", warmup_epochs)
        .add("step_epochs", step_epochs)
        .add("gamma", gamma)
        .add("minimum_factor", minimum_factor)
        .to_json();
  }
};

/// Of Trainer::fit.
struct EarlyStoppingOptions {
  std::uint32_t patience = 3;             ///< epochs without improvement
  double min_delta = 0;                   ///< what counts as one
  std::optional<bool> restore_best = {};  ///< whether the model ends with the weights of its best epoch

  [[nodiscard]] std::string to_json() const {
    return JsonObject()
        .add("patience", patience)
        .add("min_delta", min_delta)
        .add("restore_best", restore_best)
        .to_json();
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
  std::optional<std::uint32_t> epochs = {};  ///< what schedules count with
  std::optional<std::uint32_t> batch_size = {};
  std::optional<std::uint32_t> batches_per_epoch = {};
  std::optional<bool> shuffle = {};
  std::optional<std::uint64_t> seed = {};
  std::optional<std::uint32_t> threads = {};
  std::optional<std::uint32_t> accumulate = {};  ///< batches an optimizer step
  std::optional<double> clip_norm = {};
  std::optional<double> clip_value = {};
  std::optional<std::uint32_t> top_k = {};
  std::optional<EarlyStoppingOptions> early_stopping = {};
  std::vector<InputOptions> inputs = {};
  std::vector<std::string> freeze = {};  ///< patterns of parameter names, such as "features.*"

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
    object.add("schedule", schedule)
        .add("epochs", epochs)
        .add("batch_size", batch_size)
        .add("batches_per_epoch", batches_per_epoch)
        .add("shuffle", shuffle)
        .add("seed", seed)
        .add("threads", threads)
        .add("accumulate", accumulate)
        .add("clip_norm", clip_norm)
        .add("clip_value", clip_value)
        .add("top_k", top_k)
        .add("early_stopping", early_stopping);
    if (!inputs.empty()) {
      JsonObject scaled;
      for (const InputOptions& input : inputs) scaled.add(input.input, input);
      object.add("inputs", scaled);
    }
    return object.add("freeze", freeze).to_json();
  }
};

}  // namespace wasmgrad::v1
