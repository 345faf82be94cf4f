#include "wasmgrad/training/torch/loop/learner.hpp"

#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/movedim.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/loop/glob.hpp"
#include "wasmgrad/training/torch/loop/frozen.hpp"
#include "wasmgrad/training/torch/lowering/written_state.hpp"
#include "wasmgrad/training/torch/model/adapters.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

/// Ranks the targets of a classification loss, in its form: class indices [N, ...] or probabilities
/// [N, C, ...], among the model's classes.
void add_ranks(const at::Tensor& output, const at::Tensor& target, std::int64_t ignored, std::int64_t top_k,
               MetricSum& sum) {
  const at::Tensor rows = output.movedim(1, -1).contiguous();
  const at::Tensor labels = target.scalar_type() == at::kLong ? target : target.argmax(1).contiguous();
  sum.add_ranks({rows.const_data_ptr<float>(), static_cast<std::size_t>(rows.numel())},
                {labels.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(labels.numel())}, ignored,
                top_k);
}

/// Clears what a backward pass left in the parameters.
class GradientGuard {
 public:
  explicit GradientGuard(const std::vector<at::Tensor>& parameters) : parameters_(parameters) {}
  GradientGuard(const GradientGuard&) = delete;
  GradientGuard& operator=(const GradientGuard&) = delete;
  ~GradientGuard() {
    for (const at::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
  }

 private:
  const std::vector<at::Tensor>& parameters_;
};

/// Where a backward pass starts.
struct OutputGradients {
  std::vector<at::Tensor> outputs, gradients;

  double weight = 1;  ///< of all of them

  void add(const at::Tensor& output, at::Tensor gradient) {
    if (!output.requires_grad()) return;
    outputs.push_back(output);
    gradients.push_back(std::move(gradient));
  }
};

/// The batch's loss, its ranks added to `sum`, and its gradients to `gradients` unless that is null.
Expected<double> judge(const DataBinding& binding, const Batch& batch,
                       const std::vector<NamedTensor>& outputs, const TrainerOptions& options, MetricSum& sum,
                       OutputGradients* gradients) {
  if (binding.losses.empty()) {
    WASMGRAD_ASSIGN(const at::Tensor loss, own_loss(outputs));
    if (gradients != nullptr)
      gradients->add(loss, gradients->weight == 1 ? at::Tensor() : at::full_like(loss, gradients->weight));
    return loss.item<double>();
  }
  double total = 0;
  bool ranked = false;
  for (const BoundLoss& loss : binding.losses) {
    WASMGRAD_ASSIGN(at::Tensor output, output_named(outputs, loss.output));
    output = output.to(at::kFloat);
    const at::Tensor values = output.detach();
    const at::Tensor target = loss.function.target_form(values, batch.targets[loss.target]);
    WASMGRAD_CHECK(loss.function.check(values, target));
    WASMGRAD_CHECK(loss.function.check_labels(values, target));
    if (gradients != nullptr) {
      LossAndGradient one = loss.function.value_and_gradient(values, target);
      if (loss.weight * gradients->weight != 1) one.gradient.mul_(loss.weight * gradients->weight);
      total += loss.weight * one.loss;
      gradients->add(output, std::move(one.gradient));
    } else {
      total += loss.weight * loss.function.value(values, target);
    }
    if (is_classification(loss.kind) && !ranked) {
      add_ranks(values, target, options.ignore_index, options.top_k, sum);
      ranked = true;
    }
  }
  return total;
}

/// Whether each group has a parameter, which belongs to the first that matches.
Status check_groups(const std::vector<ParameterGroup>& groups, const std::vector<NamedTensor>& trained) {
  std::vector<const ParameterGroup*> taken;
  for (const NamedTensor& entry : trained) {
    const auto first = std::ranges::find_if(
        groups, [&](const ParameterGroup& group) { return glob_matches(group.parameters, entry.name); });
    if (first != groups.end()) taken.push_back(&*first);
  }
  for (const ParameterGroup& group : groups) {
    if (std::ranges::find(taken, &group) != taken.end()) continue;
    const bool shadowed = std::ranges::any_of(
        trained, [&](const NamedTensor& entry) { return glob_matches(group.parameters, entry.name); });
    return invalid(
        (shadowed ? "only parameters of earlier groups match '" : "no trained parameter matches '") +
        group.parameters + "', the pattern of a group");
  }
  return {};
}

/// The branches that the options ask for.
Status give_branches(TorchModel::Storage& storage, const TrainerOptions& options) {
  std::vector<LowRank> wanted;
  for (const std::string& text : options.lora) {
    WASMGRAD_ASSIGN(LowRank each, parse_low_rank(text));
    wanted.push_back(std::move(each));
  }
  try {
    const Status added = add_adapters(storage, wanted, options.seed);
    return added ? added : Status(added.error().within("model '" + storage.name + "'"));
  } catch (const std::exception&) {
    return current_refusal("model '" + storage.name + "'");
  }
}

}  // namespace

Learner::Learner(TorchModel model, const TrainerOptions& options, std::vector<NamedTensor> parameters,
                 std::vector<at::Tensor> frozen)
    : model_(std::move(model)),
      options_(options),
      optimizer_(options.optimizer, std::move(parameters)),
      frozen_(std::move(frozen)),
      pending_(optimizer_.parameters().size()) {}

Expected<Learner> Learner::create(TorchModel model, const TrainerOptions& options) {
  const bool had_branches = !model.storage().adapters.empty();
  WASMGRAD_CHECK(give_branches(model.storage(), options));
  auto made = create_over(model, options);
  if (!made && !had_branches) remove_adapters(model.storage());
  return made;
}

Expected<Learner> Learner::create_over(TorchModel model, const TrainerOptions& options) {
  const std::string who = "model '" + model.storage().name + "'";
  auto arguments = forward_arguments(model.storage().module);
  WASMGRAD_CHECK(check_scales(arguments, options));
  if (model.storage().trainable().empty()) return invalid(who + " has no trainable parameter");
  auto split = split_frozen(model.storage(), options.freeze);
  if (!split) return split.error().within(who);
  for (NamedTensor& entry : split->trained) {
    if (entry.tensor.scalar_type() != at::kFloat) {
      return invalid(who + ": parameter '" + entry.name + "' is of type " +
                     std::string(entry.tensor.dtype().name()) + "; only float (f32) parameters are trained");
    }
    if (!entry.tensor.is_contiguous()) entry.tensor.set_data(entry.tensor.detach().contiguous());
    entry.tensor.mutable_grad().reset();
  }
  if (const Status each = check_groups(options.optimizer.groups, split->trained); !each)
    return each.error().within(who);
  Learner learner(std::move(model), options, std::move(split->trained), std::move(split->frozen));
  learner.arguments_ = std::move(arguments);
  learner.held_ = std::move(split->held);
  return learner;
}

Status Learner::backward(DataBinding& binding, const Batch& batch, StepRandom random, double weight,
                         MetricSum& sum) {
  const FrozenScope frozen(frozen_);
  const GradientGuard guard(parameters());
  std::vector<NamedTensor> outputs;
  try {
    outputs = binding.program.forward_train(program_inputs(options_, batch), random);
  } catch (const std::exception&) {
    return refused_inputs(batch.inputs);
  }
  if (!binding.bound) WASMGRAD_CHECK(bind(binding, outputs, batch));
  MetricSum added;
  OutputGradients start;
  start.weight = weight;
  WASMGRAD_ASSIGN(const double loss, judge(binding, batch, outputs, options_, added, &start));
  if (start.outputs.empty()) return invalid("no trainable parameter of the model takes part in its output");
  if (!std::isfinite(loss)) {
    return Error{Errc::kRuntimeError,
                 "the loss is " + std::to_string(loss) +
                     "; training cannot go on (a lower learning rate or gradient clipping may help)"};
  }
  torch::autograd::backward(start.outputs, start.gradients);
  WASMGRAD_CHECK(add_gradients());
  pending_weight_ += weight;
  added.add_loss(loss, batch.inputs[0].size(0));
  sum.add(added);
  return {};
}

/// Moves what a backward pass left in the parameters to the pending gradients, which are as they were when a
/// gradient is not finite. An infinite one is left to a clip by value.
Status Learner::add_gradients() {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> sums = pending_;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    at::Tensor gradient = std::move(parameters()[i].mutable_grad());
    if (!gradient.defined()) continue;
    // An embedding with sparse=True gives one; the sum is that of sparse=False.
    if (gradient.layout() != at::kStrided) gradient = gradient.to_dense();
    if (!gradient.is_contiguous()) gradient = gradient.contiguous();
    WASMGRAD_CHECK(check_finite(i, gradient));
    if (sums[i].defined()) gradient.add_(sums[i]);
    sums[i] = std::move(gradient);
  }
  pending_ = std::move(sums);
  ++pending_batches_;
  pending_may_be_infinite_ = options_.clip_value.has_value();
  return {};
}

Status Learner::check_finite(std::size_t parameter, const at::Tensor& gradient) const {
  const bool good = options_.clip_value ? !has_nan(gradient) : is_finite(gradient);
  if (good) return {};
  return Error{
      Errc::kRuntimeError,
      "the gradient of parameter '" + optimizer_.names()[parameter] +
          "' is not finite; training cannot go on (a lower learning rate or a clip by value may help)"};
}

Status Learner::apply(double learning_rate) {
  const c10::NoGradGuard no_grad;
  // A sum of finite gradients may overflow.
  const bool unchecked = pending_batches_ > 1 || pending_may_overflow_;
  if (unchecked || (pending_may_be_infinite_ && !options_.clip_value)) {
    for (std::size_t i = 0; i < pending_.size(); ++i)
      if (pending_[i].defined()) WASMGRAD_CHECK(check_finite(i, pending_[i]));
  }
  std::vector<at::Tensor> given;
  for (const at::Tensor& gradient : pending_)
    if (gradient.defined()) given.push_back(gradient);
  if (pending_weight_ != 1)
    for (const at::Tensor& gradient : given) gradient.div_(pending_weight_);
  if (options_.clip_value) clip_by_value(given, *options_.clip_value);
  if (options_.clip_norm) clip_by_norm(given, *options_.clip_norm);
  optimizer_.step(pending_, learning_rate);
  drop_gradients();
  return {};
}

Learner::Attempt::Attempt(Learner& learner, const DataBinding& binding)
    : learner_(learner),
      buffers_(binding.program.written()),
      gradients_(learner.pending_),
      batches_(learner.pending_batches_),
      weight_(learner.pending_weight_) {}

Learner::Attempt::~Attempt() {
  if (kept_) return;
  learner_.pending_ = std::move(gradients_);
  learner_.pending_batches_ = batches_;
  learner_.pending_weight_ = weight_;
}

void Learner::Attempt::keep() noexcept {
  kept_ = true;
  buffers_.keep();
}

void Learner::drop_gradients() {
  for (at::Tensor& gradient : pending_) gradient.reset();
  pending_batches_ = 0;
  pending_weight_ = 0;
  pending_may_overflow_ = false;
}

void Learner::set_gradients(std::vector<at::Tensor> gradients) {
  pending_ = std::move(gradients);
  pending_batches_ = 1;
  pending_weight_ = 1;
}

void Learner::set_sums(std::vector<at::Tensor> gradients, double weight) {
  pending_ = std::move(gradients);
  pending_weight_ = weight;
  pending_may_overflow_ = true;
}

std::vector<at::Tensor> Learner::written() const {
  std::vector<at::Tensor> found;
  const auto add = [&](const at::Tensor& tensor) {
    const bool known =
        std::ranges::any_of(found, [&](const at::Tensor& other) { return other.is_same(tensor); });
    if (tensor.defined() && !known) found.push_back(tensor);
  };
  for (const DataBinding& binding : bindings_) {
    const lowering::WrittenState& written = binding.program.written();
    for (const at::Tensor& tensor : written.tensors) add(tensor);
    for (const lowering::Attribute& attribute : written.attributes) {
      const c10::IValue value = attribute.object->getSlot(attribute.slot);
      if (value.isTensor()) add(value.toTensor());
    }
  }
  return found;
}

Status Learner::evaluate(DataBinding& binding, const DataTensors& data, const StopToken* stop,
                         const Dealing& dealing, MetricSum& sum) {
  // Whole batches are dealt, so that a model that looks across rows computes what it would alone.
  EpochBatches batches = EpochBatches::in_order(data, options_.batch_size);
  const std::int64_t first = dealing.shard ? 0 : dealing.rank;
  const std::int64_t stride = dealing.shard ? 1 : dealing.size;
  for (std::int64_t i = first; i < batches.count(); i += stride) {
    if (stop != nullptr && stop->requested())
      return Error{Errc::kInterrupted, "the evaluation was interrupted"};
    const Batch batch = batches.batch(i);
    std::vector<NamedTensor> outputs;
    try {
      outputs = binding.program.forward_eval(program_inputs(options_, batch));
    } catch (const std::exception&) {
      return refused_inputs(batch.inputs);
    }
    WASMGRAD_ASSIGN(const double loss, judge(binding, batch, outputs, options_, sum, nullptr));
    sum.add_loss(loss, batch.inputs[0].size(0));
  }
  return {};
}

Expected<std::vector<NamedTensor>> Learner::predict(const std::vector<NamedTensor>& inputs) {
  WASMGRAD_ASSIGN(Program * program, this->program(inputs, {}, /*without_loss=*/options_.model_loss));
  const std::int64_t samples = inputs[0].tensor.size(0);
  const std::int64_t size = std::min(samples, options_.predict_batch_size.value_or(samples));
  if (size == samples) return predict_batch(*program, inputs, 0, samples);
  std::vector<std::string> names;
  std::vector<std::vector<at::Tensor>> parts;
  for (std::int64_t begin = 0; begin < samples; begin += size) {
    const std::int64_t count = std::min(size, samples - begin);
    WASMGRAD_ASSIGN(const auto computed, predict_batch(*program, inputs, begin, count));
    for (const NamedTensor& output : computed) {
      const at::Tensor& rows = output.tensor;
      if (rows.dim() == 0 || rows.size(0) != count) {
        return invalid("the model's output " + quoted(output.name, "") + " has shape " +
                       format_shape(rows.sizes()) + " for " + std::to_string(count) +
                       " samples, and no row for each: it cannot be computed in pieces of " +
                       "predict_batch_size; leave that out");
      }
      const auto known = std::ranges::find(names, output.name);
      const auto at = static_cast<std::size_t>(known - names.begin());
      if (known == names.end()) {
        names.push_back(output.name);
        parts.emplace_back();
      }
      parts[at].push_back(rows);
    }
  }
  std::vector<NamedTensor> outputs;
  for (std::size_t i = 0; i < names.size(); ++i) outputs.push_back({names[i], at::cat(parts[i])});
  return outputs;
}

/// Outputs for rows begin..begin+count of the inputs.
Expected<std::vector<NamedTensor>> Learner::predict_batch(Program& program,
                                                          const std::vector<NamedTensor>& inputs,
                                                          std::int64_t begin, std::int64_t count) {
  std::vector<at::Tensor> batch;
  try {
    for (const NamedTensor& column : inputs) batch.push_back(model_rows(column.tensor, begin, count));
    std::vector<NamedTensor> outputs = program.forward_eval(batch);
    std::erase_if(outputs, [](const NamedTensor& output) {  // of the batch, as training takes it
      return output.name == "loss" && output.tensor.dim() == 0;
    });
    return outputs;
  } catch (const std::exception&) {
    Error error = refused_inputs(batch);
    if (error.code == Errc::kTooLarge) {
      error.message += "; a prediction is one batch of " + std::to_string(count) +
                       " rows here, and the option predict_batch_size makes it smaller ones";
    }
    return error;
  }
}

void Learner::configure(const TrainerOptions& options) {
  options_ = options;
  optimizer_.configure(options.optimizer);
}

std::vector<NamedTensor> Learner::model_tensors() const {
  std::vector<NamedTensor> named;
  for (NamedTensor& entry : model_.storage().tensors())
    named.push_back({"model." + entry.name, entry.tensor});
  return named;
}

}  // namespace wasmgrad::training
