// What a trainer does together with those of other processes, and, alone, by itself.
#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>

#include "wasmgrad/training/options/option_table.hpp"
#include "wasmgrad/training/torch/loop/trainer_state.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

template <class T>
void add(Facts& facts, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    facts.add(std::string_view(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    facts.add(static_cast<double>(value));
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    facts.add(static_cast<std::int64_t>(value));
  } else if constexpr (requires { value.has_value(); }) {
    facts.add(std::int64_t{value.has_value() ? 1 : 0});
    if (value) add(facts, *value);
  } else {
    facts.add(static_cast<std::int64_t>(value.size()));
    for (const auto& item : value) add(facts, item);
  }
}

/// All but how many threads compute.
void add_options(Facts& facts, const TrainerOptions& options) {
  visit_options([&](const OptionInfo& info, auto field, auto) {
    if (info.name != "threads") add(facts, field(options));
  });
  for (const OutputLoss& loss : options.losses) {
    add(facts, loss.output);
    add(facts, loss.kind);
    add(facts, loss.weight);
  }
  for (const InputScale& input : options.inputs) {
    add(facts, input.input);
    add(facts, input.scale);
    add(facts, input.offset);
  }
  for (const ParameterGroup& group : options.optimizer.groups) {
    add(facts, group.parameters);
    add(facts, group.learning_rate);
    add(facts, group.weight_decay);
  }
  for (const bool flag : {options.model_loss, options.keep_integers, options.by_position}) add(facts, flag);
}

void add_tensor(Facts& facts, const NamedTensor& entry) {
  add(facts, entry.name);
  add(facts, entry.tensor.scalar_type());
  for (const std::int64_t size : entry.tensor.sizes()) add(facts, size);
}

}  // namespace

std::uint64_t TorchTrainer::State::step_facts(double rate) const {
  Facts facts;
  add(facts, rate);
  for (const auto& [key, value] : settings) {
    add(facts, key);
    add(facts, value);
  }
  return facts.hash();
}

Status TorchTrainer::State::share_state() {
  if (!replicas.several() || shared) return {};
  Facts facts;
  add_options(facts, options);
  std::vector<at::Tensor> tensors;
  std::uint64_t bytes = 0;
  const auto share = [&](const NamedTensor& entry) {
    add_tensor(facts, entry);
    bytes += entry.tensor.nbytes();
    tensors.push_back(entry.tensor);
  };
  for (const NamedTensor& entry : learner.model_tensors()) share(entry);
  for (const NamedTensor& entry : learner.optimizer().state()) share(entry);
  for (const at::Tensor& best_tensor : best.tensors()) share({"best", best_tensor});
  WASMGRAD_CHECK(replicas.meet({Operation::kState, counters.step, bytes, facts.hash()}, {}, {}));
  WASMGRAD_CHECK(replicas.copy_from_first(tensors));
  shared = true;
  return {};
}

Status TorchTrainer::State::agree_on_epochs(const Dataset& train, const Status& own) {
  const Dealing dealing = replicas.dealing();
  Status ready = own;
  if (ready && replicas.shards() && options.batch_size < dealing.size) {
    ready = invalid("train: the batch size is " + std::to_string(options.batch_size) + " for " +
                    std::to_string(dealing.size) +
                    " processes with data of their own; expected at least a sample for each");
  }
  if (ready) {
    epoch_samples = train.size();
    epoch_batches = batches_of(options, train.size(), dealing);
  }
  if (!replicas.several()) return ready;
  Share mine;
  mine.samples = train.size();
  mine.batches = ready ? epoch_batches : 0;
  const std::uint64_t size = replicas.shards() ? 0 : static_cast<std::uint64_t>(train.size());
  WASMGRAD_ASSIGN(const Agreement agreed,
                  replicas.meet({Operation::kEpochs, counters.step, 0, size}, mine, ready));
  epoch_batches = agreed.batches;
  if (replicas.shards()) epoch_samples = agreed.samples;
  return {};
}

Expected<std::optional<MetricSum>> TorchTrainer::State::average(const Status& own, double rate, bool at_end) {
  if (!own && !replicas.averages()) return own.error();
  if (own && !replicas.average_due(at_end)) return std::optional<MetricSum>();
  WASMGRAD_ASSIGN(const MetricSum all, replicas.average(learner, counters.step, step_facts(rate), own));
  return std::optional(all);
}

Expected<Metrics> TorchTrainer::State::evaluate(const Dataset& data, const std::string& what) {
  WASMGRAD_CHECK(share_state());
  WASMGRAD_CHECK(average({}, last_rate, true));
  MetricSum sum;
  const Status own = guarded("evaluation", [&]() -> Status {
    WASMGRAD_ASSIGN(DataBinding * binding, this->binding(data, what));
    return learner.evaluate(*binding, DataTensors(data), stop, replicas.dealing(), sum);
  });
  if (replicas.several()) {
    Share mine;
    mine.sum = sum;
    const std::uint64_t size = replicas.shards() ? 0 : static_cast<std::uint64_t>(data.size());
    WASMGRAD_ASSIGN(const Agreement agreed,
                    replicas.meet({Operation::kEvaluation, counters.step, 0, size}, mine, own));
    if (replicas.stop_requested()) return Error{Errc::kInterrupted, "the evaluation was interrupted"};
    return agreed.sum.mean(options.top_k);
  }
  if (!own) return own.error();
  return sum.mean(options.top_k);
}

}  // namespace wasmgrad::training
