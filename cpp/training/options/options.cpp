#include "wasmgrad/training/options/options.hpp"

#include <cmath>
#include <span>
#include <sstream>
#include <type_traits>

#include "wasmgrad/training/options/low_rank.hpp"
#include "wasmgrad/training/options/option_table.hpp"

namespace wasmgrad::training {

namespace {

template <class Kind>
Expected<Kind> parse(std::string_view name, std::span<const std::string_view> names, std::string_view what,
                     std::span<const OtherName> others = {}) {
  std::string known;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Kind>(i);
    known += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  std::string meant;
  for (const OtherName& other : others)
    if (other.other == name) meant = "did you mean '" + std::string(other.name) + "'? ";
  return invalid("unknown " + std::string(what) + " '" + std::string(name) + "'; " + meant + "known are " +
                 known);
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

template <class T>
struct ValueOf {
  using Type = T;
};
template <class T>
struct ValueOf<std::optional<T>> {
  using Type = T;
};

/// Judges a field of TrainerOptions by the table; one without a value is as good as any.
template <class T>
void check_range(Checker& check, const OptionInfo& info, const T& field) {
  using Value = typename ValueOf<T>::Type;
  if constexpr (std::is_same_v<T, std::optional<std::vector<double>>>) {
    for (const double value : field.value_or(std::vector<double>()))
      check.require(info.allows(value), "a number of " + std::string(info.name), value, info.range);
  } else if constexpr (std::is_arithmetic_v<Value> && !std::is_same_v<Value, bool>) {
    const std::optional<Value> value = field;
    if (value && !info.range.empty())
      check.require(info.allows(static_cast<double>(*value)), info.name, *value, info.range);
  }
}

}  // namespace

std::string_view name_of(OptimizerKind kind) noexcept {
  return kOptimizerNames[static_cast<std::size_t>(kind)];
}
std::string_view name_of(LossKind kind) noexcept { return kLossNames[static_cast<std::size_t>(kind)]; }
std::string_view name_of(ScheduleKind kind) noexcept {
  return kScheduleNames[static_cast<std::size_t>(kind)];
}
std::string_view name_of(Precision precision) noexcept {
  return kPrecisionNames[static_cast<std::size_t>(precision)];
}

Expected<OptimizerKind> parse_optimizer(std::string_view name) {
  return parse<OptimizerKind>(name, kOptimizerNames, "optimizer");
}
Expected<LossKind> parse_loss(std::string_view name) {
  return parse<LossKind>(name, kLossNames, "loss", kLossOtherNames);
}
Expected<ScheduleKind> parse_schedule(std::string_view name) {
  return parse<ScheduleKind>(name, kScheduleNames, "learning-rate schedule");
}
Expected<Precision> parse_precision(std::string_view name) {
  return parse<Precision>(name, kPrecisionNames, "precision");
}
Expected<OptimizerKind> optimizer_from_abi(std::int64_t value) {
  return from_abi<OptimizerKind>(value, kOptimizerNames, "optimizer");
}
Expected<LossKind> loss_from_abi(std::int64_t value) { return from_abi<LossKind>(value, kLossNames, "loss"); }

bool is_classification(LossKind kind) noexcept {
  return kind == LossKind::kCrossEntropy || kind == LossKind::kCrossEntropyLogits || kind == LossKind::kNLL;
}

Status set(TrainerOptions& options, std::string_view key, double value) {
  TrainerOptions changed = options;
  bool known = false;
  visit_options([&](const OptionInfo& info, auto field, auto) {
    using T = std::remove_cvref_t<decltype(field(changed))>;
    if constexpr (std::is_same_v<typename ValueOf<T>::Type, double>) {
      if (!info.settable || info.name != key) return;
      known = true;
      field(changed) = value;
      if constexpr (!std::is_same_v<T, double>) {
        if (value == 0) field(changed).reset();
      }
    }
  });
  if (!known) {
    std::string names;
    for (const std::string_view setting : kSettings)
      names += (names.empty() ? "" : ", ") + std::string(setting);
    return Error{Errc::kNotFound,
                 "there is no hyper-parameter '" + std::string(key) + "' to set; known are " + names};
  }
  WASMGRAD_CHECK(validate(changed));
  options = std::move(changed);
  return {};
}

Status validate(const TrainerOptions& options) {
  constexpr std::string_view kNotNegative = "a finite number of at least 0";
  const OptimizerOptions& optimizer = options.optimizer;
  Checker check;
  visit_options([&](const OptionInfo& info, auto field, auto) { check_range(check, info, field(options)); });
  check
      .require(!optimizer.nesterov || optimizer.momentum > 0, "momentum", optimizer.momentum,
               "above 0 when nesterov is on")
      .require(!optimizer.nesterov || optimizer.dampening == 0, "dampening", optimizer.dampening,
               "0 when nesterov is on")
      .require(!optimizer.nesterov || optimizer.kind == OptimizerKind::kSGD, "nesterov", "on",
               "off for optimizers other than sgd");
  for (const std::string& text : options.lora) WASMGRAD_CHECK(parse_low_rank(text));
  for (const ParameterGroup& group : optimizer.groups) {
    const std::string of = " of the parameters '" + group.parameters + "'";
    const double rate = group.learning_rate.value_or(0), decay = group.weight_decay.value_or(0);
    check.require(std::isfinite(rate) && rate >= 0, "learning_rate" + of, rate, kNotNegative);
    check.require(std::isfinite(decay) && decay >= 0, "weight_decay" + of, decay, kNotNegative);
    check.require(!group.learning_rate || optimizer.learning_rate > 0, "learning_rate",
                  optimizer.learning_rate, "above 0 where a group of parameters has its own");
  }
  for (const OutputLoss& loss : options.losses)
    check.require(std::isfinite(loss.weight) && loss.weight >= 0, "loss weight of '" + loss.output + "'",
                  loss.weight, kNotNegative);
  for (const InputScale& own : options.inputs) {
    check.require(std::isfinite(own.scale.value_or(1)), "scale of '" + own.input + "'", own.scale.value_or(1),
                  "a finite number");
    check.require(std::isfinite(own.offset), "offset of '" + own.input + "'", own.offset, "a finite number");
  }
  return check.status();
}

}  // namespace wasmgrad::training
