#include "wasmgrad/training/options.hpp"

#include <array>
#include <cmath>
#include <span>
#include <sstream>

namespace wasmgrad::training {

namespace {

// Each table is indexed by the enumerator's value.
constexpr std::array<std::string_view, 4> kOptimizers = {"adam", "rmsprop", "sgd", "adamw"};
constexpr std::array<std::string_view, 6> kLosses = {
    "cross_entropy_probabilities", "cross_entropy", "mse", "l1", "huber", "bce_with_logits"};
constexpr std::array<std::string_view, 3> kSchedules = {"constant", "step", "cosine"};

template <class Kind>
Expected<Kind> parse(std::string_view name, std::span<const std::string_view> names, std::string_view what) {
  std::string known;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Kind>(i);
    known += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  return Error{Errc::kInvalidArgument,
               "unknown " + std::string(what) + " '" + std::string(name) + "'; known are " + known};
}

template <class Kind>
Expected<Kind> from_abi(std::int64_t value, std::span<const std::string_view> names, std::string_view what) {
  if (value >= 0 && value < static_cast<std::int64_t>(names.size())) return static_cast<Kind>(value);
  std::string known;
  for (std::size_t i = 0; i < names.size(); ++i) {
    known += (i == 0 ? "" : ", ") + std::to_string(i) + " (" + std::string(names[i]) + ")";
  }
  return Error{Errc::kInvalidArgument,
               "unknown " + std::string(what) + " " + std::to_string(value) + "; known are " + known};
}

/// The first option found out of its range.
class Checker {
 public:
  template <class T>
  Checker& require(bool allowed, std::string_view option, T value, std::string_view expected) {
    if (!allowed && status_.ok()) {
      std::ostringstream text;
      text << option << " is " << value << "; it must be " << expected;
      status_ = Error{Errc::kInvalidArgument, text.str()};
    }
    return *this;
  }
  [[nodiscard]] Status status() const { return status_; }

 private:
  Status status_;
};

bool at_least(double value, double lowest) { return std::isfinite(value) && value >= lowest; }
bool in_unit(double value) { return value >= 0 && value < 1; }

}  // namespace

std::string_view name_of(OptimizerKind kind) noexcept { return kOptimizers[static_cast<std::size_t>(kind)]; }
std::string_view name_of(LossKind kind) noexcept { return kLosses[static_cast<std::size_t>(kind)]; }
std::string_view name_of(ScheduleKind kind) noexcept { return kSchedules[static_cast<std::size_t>(kind)]; }

Expected<OptimizerKind> parse_optimizer(std::string_view name) {
  return parse<OptimizerKind>(name, kOptimizers, "optimizer");
}
Expected<LossKind> parse_loss(std::string_view name) { return parse<LossKind>(name, kLosses, "loss"); }
Expected<ScheduleKind> parse_schedule(std::string_view name) {
  return parse<ScheduleKind>(name, kSchedules, "learning-rate schedule");
}
Expected<OptimizerKind> optimizer_from_abi(std::int64_t value) {
  return from_abi<OptimizerKind>(value, kOptimizers, "optimizer");
}
Expected<LossKind> loss_from_abi(std::int64_t value) { return from_abi<LossKind>(value, kLosses, "loss"); }

bool is_classification(LossKind kind) noexcept {
  return kind == LossKind::kCrossEntropy || kind == LossKind::kCrossEntropyLogits;
}

Status set(TrainerOptions& options, std::string_view key, double value) {
  TrainerOptions changed = options;
  OptimizerOptions& optimizer = changed.optimizer;
  const std::optional<double> limit = value == 0 ? std::nullopt : std::optional(value);
  if (key == "learning_rate") {
    optimizer.learning_rate = value;
  } else if (key == "weight_decay") {
    optimizer.weight_decay = value;
  } else if (key == "momentum") {
    optimizer.momentum = value;
  } else if (key == "beta1") {
    optimizer.beta1 = value;
  } else if (key == "beta2") {
    optimizer.beta2 = value;
  } else if (key == "epsilon") {
    optimizer.epsilon = value;
  } else if (key == "alpha") {
    optimizer.alpha = value;
  } else if (key == "clip_norm") {
    changed.clip_norm = limit;
  } else if (key == "clip_value") {
    changed.clip_value = limit;
  } else {
    std::string known;
    for (const std::string_view setting : kSettings)
      known += (known.empty() ? "" : ", ") + std::string(setting);
    return Error{Errc::kNotFound,
                 "there is no hyper-parameter '" + std::string(key) + "' to set; known are " + known};
  }
  WASMGRAD_CHECK(validate(changed));
  options = std::move(changed);
  return {};
}

Status validate(const TrainerOptions& options) {
  const OptimizerOptions& optimizer = options.optimizer;
  const ScheduleOptions& schedule = options.schedule;
  constexpr std::string_view kNotNegative = "a finite number of at least 0";
  constexpr std::string_view kFraction = "at least 0 and below 1";
  constexpr std::int64_t kMostBatch = std::int64_t{1} << 31;
  Checker check;
  check.require(at_least(optimizer.learning_rate, 0), "learning rate", optimizer.learning_rate, kNotNegative)
      .require(at_least(optimizer.weight_decay, 0), "weight decay", optimizer.weight_decay, kNotNegative)
      .require(in_unit(optimizer.beta1), "beta1", optimizer.beta1, kFraction)
      .require(in_unit(optimizer.beta2), "beta2", optimizer.beta2, kFraction)
      .require(at_least(optimizer.epsilon, 0), "epsilon", optimizer.epsilon, kNotNegative)
      .require(at_least(optimizer.momentum, 0), "momentum", optimizer.momentum, kNotNegative)
      .require(in_unit(optimizer.alpha), "alpha", optimizer.alpha, kFraction)
      .require(!optimizer.nesterov || optimizer.momentum > 0, "momentum", optimizer.momentum,
               "above 0 when nesterov is on")
      .require(!optimizer.nesterov || optimizer.kind == OptimizerKind::kSGD, "nesterov", "on",
               "off for optimizers other than sgd")
      .require(schedule.warmup_epochs >= 0, "warmup epochs", schedule.warmup_epochs, "at least 0")
      .require(schedule.step_epochs >= 1, "step epochs", schedule.step_epochs, "at least 1")
      .require(at_least(schedule.gamma, 0), "gamma", schedule.gamma, kNotNegative)
      .require(at_least(schedule.minimum_factor, 0), "minimum factor", schedule.minimum_factor, kNotNegative)
      .require(options.epochs >= 0, "epochs", options.epochs, "at least 0")
      .require(options.batch_size >= 1 && options.batch_size <= kMostBatch, "batch size", options.batch_size,
               "at least 1 and at most 2147483648")
      .require(options.predict_batch_size.value_or(1) >= 1, "predict batch size",
               options.predict_batch_size.value_or(1), "at least 1")
      .require(options.accumulate >= 1, "accumulate", options.accumulate, "at least 1")
      .require(options.batches_per_epoch.value_or(1) >= 1, "batches per epoch",
               options.batches_per_epoch.value_or(1), "at least 1")
      .require(options.threads >= 0 && options.threads <= 4096, "threads", options.threads,
               "between 0 (all that the process may use) and 4096")
      .require(at_least(options.clip_norm.value_or(1), 0) && options.clip_norm.value_or(1) > 0,
               "gradient norm limit", options.clip_norm.value_or(1), "a finite number above 0")
      .require(at_least(options.clip_value.value_or(1), 0) && options.clip_value.value_or(1) > 0,
               "gradient value limit", options.clip_value.value_or(1), "a finite number above 0")
      .require(options.top_k >= 1, "top k", options.top_k, "at least 1")
      .require(options.early_stopping_patience >= 0, "early stopping patience",
               options.early_stopping_patience, "at least 0 (never stop)")
      .require(at_least(options.early_stopping_min_delta, 0), "early stopping minimum delta",
               options.early_stopping_min_delta, kNotNegative)
      .require(std::isfinite(options.input_scale.value_or(1)), "input scale", options.input_scale.value_or(1),
               "a finite number")
      .require(std::isfinite(options.input_offset), "input offset", options.input_offset, "a finite number");
  for (const OutputLoss& loss : options.losses)
    check.require(at_least(loss.weight, 0), "loss weight of '" + loss.output + "'", loss.weight,
                  kNotNegative);
  for (const InputScale& own : options.inputs) {
    check.require(std::isfinite(own.scale.value_or(1)), "scale of '" + own.input + "'", own.scale.value_or(1),
                  "a finite number");
    check.require(std::isfinite(own.offset), "offset of '" + own.input + "'", own.offset, "a finite number");
  }
  return check.status();
}

}  // namespace wasmgrad::training
