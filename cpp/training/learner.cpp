#include "wasmgrad/training/learner.hpp"

#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "wasmgrad/training/class_labels.hpp"
#include "wasmgrad/training/frozen.hpp"
#include "wasmgrad/training/loss.hpp"
#include "wasmgrad/training/torch_error.hpp"

namespace wasmgrad::training {

namespace {

Error invalid(std::string message) { return {Errc::kInvalidArgument, std::move(message)}; }

/// What an output is compared with, in the form that its loss takes.
at::Tensor target_of(const BoundLoss& loss, const Batch& batch) {
  const at::Tensor& target = batch.targets[loss.target];
  return is_classification(loss.kind) ? class_indices(target) : target.to(at::kFloat);
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

  void add(const at::Tensor& output, at::Tensor gradient) {
    if (!output.requires_grad()) return;
    outputs.push_back(output);
    gradients.push_back(std::move(gradient));
  }
};

/// The batch's loss, its ranks added to `sum`, and its gradients to `gradients` unless that is null.
Expected<double> judge(const Plan& plan, const Batch& batch, const std::vector<NamedTensor>& outputs,
                       std::int64_t top_k, MetricSum& sum, OutputGradients* gradients) {
  if (plan.losses.empty()) {
    WASMGRAD_ASSIGN(const at::Tensor loss, own_loss(outputs));
    if (gradients != nullptr) gradients->add(loss, {});
    return loss.item<double>();
  }
  double total = 0;
  bool ranked = false;
  for (const BoundLoss& loss : plan.losses) {
    WASMGRAD_ASSIGN(at::Tensor output, output_named(outputs, loss.output));
    output = output.to(at::kFloat);
    const at::Tensor values = output.detach();
    const at::Tensor target = target_of(loss, batch);
    WASMGRAD_CHECK(check_output(loss.kind, values, target));
    if (gradients != nullptr) {
      LossAndGradient one = loss_and_gradient(loss.kind, values, target);
      if (loss.weight != 1) one.gradient.mul_(loss.weight);
      total += loss.weight * one.loss;
      gradients->add(output, std::move(one.gradient));
    } else {
      total += loss.weight * loss_value(loss.kind, values, target);
    }
    if (is_classification(loss.kind) && !ranked) {
      sum.add_ranks(values, target, top_k);
      ranked = true;
    }
  }
  return total;
}

}  // namespace

Learner::Learner(Model model, const TrainerOptions& options, std::vector<NamedTensor> parameters,
                 std::vector<at::Tensor> frozen)
    : model_(std::move(model)),
      options_(options),
      optimizer_(options.optimizer, std::move(parameters)),
      frozen_(std::move(frozen)),
      pending_(optimizer_.parameters().size()) {}

Expected<Learner> Learner::create(Model model, const TrainerOptions& options) {
  const std::string who = "model '" + model.storage().name + "'";
  auto arguments = forward_arguments(model.storage().module);
  WASMGRAD_CHECK(check_scales(arguments, options));
  std::vector<NamedTensor> all = model.storage().trainable();
  if (all.empty()) return invalid(who + " has no trainable parameter");
  auto split = split_frozen(std::move(all), options.freeze);
  if (!split) return split.error().within(who);
  for (NamedTensor& entry : split->trained) {
    if (entry.tensor.scalar_type() != at::kFloat) {
      return invalid(who + ": parameter '" + entry.name + "' is of type " +
                     std::string(entry.tensor.dtype().name()) + "; only float (f32) parameters are trained");
    }
    if (!entry.tensor.is_contiguous()) entry.tensor.set_data(entry.tensor.detach().contiguous());
    entry.tensor.mutable_grad().reset();
  }
  Learner learner(std::move(model), options, std::move(split->trained), std::move(split->frozen));
  learner.arguments_ = std::move(arguments);
  return learner;
}

Status Learner::backward(Plan& plan, const Batch& batch, std::uint64_t pass, MetricSum& sum) {
  const FrozenScope frozen(frozen_);
  const GradientGuard guard(parameters());
  const auto outputs = plan.program.forward_train(program_inputs(options_, batch), {options_.seed, pass});
  MetricSum added;
  OutputGradients start;
  WASMGRAD_ASSIGN(const double loss, judge(plan, batch, outputs, options_.top_k, added, &start));
  if (start.outputs.empty()) return invalid("no trainable parameter of the model takes part in its output");
  if (!std::isfinite(loss)) {
    return Error{Errc::kRuntimeError,
                 "the loss is " + std::to_string(loss) +
                     "; training cannot go on (a lower learning rate or gradient clipping may help)"};
  }
  torch::autograd::backward(start.outputs, start.gradients);

  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    at::Tensor& gradient = parameters()[i].mutable_grad();
    if (!pending_[i].defined()) {
      pending_[i] = std::move(gradient);
    } else if (gradient.defined()) {
      pending_[i].add_(gradient);
    }
  }
  ++pending_batches_;
  added.add_loss(loss, batch.inputs[0].size(0));
  sum.add(added);
  return {};
}

void Learner::apply(double learning_rate) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> given;
  for (const at::Tensor& gradient : pending_)
    if (gradient.defined()) given.push_back(gradient);
  if (pending_batches_ > 1)
    for (const at::Tensor& gradient : given) gradient.div_(static_cast<double>(pending_batches_));
  if (options_.clip_value) clip_by_value(given, *options_.clip_value);
  if (options_.clip_norm) clip_by_norm(given, *options_.clip_norm);
  optimizer_.step(pending_, learning_rate);
  drop_gradients();
}

void Learner::drop_gradients() {
  for (at::Tensor& gradient : pending_) gradient.reset();
  pending_batches_ = 0;
}

void Learner::set_gradients(std::vector<at::Tensor> gradients) {
  pending_ = std::move(gradients);
  pending_batches_ = 1;
}

Expected<Metrics> Learner::evaluate(Plan& plan, const Dataset::Storage& data, const StopToken* stop) {
  EpochBatches batches = EpochBatches::in_order(data, options_.batch_size);
  MetricSum sum;
  for (std::int64_t i = 0; i < batches.count(); ++i) {
    if (stop != nullptr && stop->requested())
      return Error{Errc::kInterrupted, "the evaluation was interrupted"};
    const Batch batch = batches.batch(i);
    const auto outputs = plan.program.forward_eval(program_inputs(options_, batch));
    WASMGRAD_ASSIGN(const double loss, judge(plan, batch, outputs, options_.top_k, sum, nullptr));
    sum.add_loss(loss, batch.inputs[0].size(0));
  }
  return sum.mean(options_.top_k);
}

Expected<std::vector<NamedTensor>> Learner::predict(const std::vector<NamedTensor>& inputs) {
  WASMGRAD_ASSIGN(Program * program, this->program(inputs, {}, /*without_loss=*/options_.model_loss));
  const std::int64_t samples = inputs[0].tensor.size(0);
  std::vector<std::string> names;
  std::vector<std::vector<at::Tensor>> parts;
  for (std::int64_t begin = 0; begin < samples; begin += options_.batch_size) {
    const std::int64_t count = std::min(options_.batch_size, samples - begin);
    std::vector<at::Tensor> batch;
    for (const NamedTensor& column : inputs) batch.push_back(model_rows(column.tensor, begin, count));
    std::vector<NamedTensor> computed;
    try {
      computed = program->forward_eval(batch);
    } catch (const std::exception&) {
      return current_refusal("the model does not take " + shapes_of(inputs, samples));
    }
    for (NamedTensor& output : computed) {
      const at::Tensor& rows = output.tensor;
      if (output.name == "loss" && rows.dim() == 0) continue;  // of the batch, as training takes it
      if (rows.dim() == 0 || rows.size(0) != count) {
        return invalid("the model's output " + quoted(output.name, "") + " has shape " +
                       format_shape(rows.sizes()) + " for " + std::to_string(count) +
                       " samples; a row a sample was expected");
      }
      const auto known = std::ranges::find(names, output.name);
      const auto at = static_cast<std::size_t>(known - names.begin());
      if (known == names.end()) {
        names.push_back(output.name);
        parts.emplace_back();
      }
      parts[at].push_back(std::move(output.tensor));
    }
  }
  std::vector<NamedTensor> outputs;
  for (std::size_t i = 0; i < names.size(); ++i)
    outputs.push_back({names[i], (parts[i].size() == 1 ? parts[i][0] : at::cat(parts[i])).contiguous()});
  return outputs;
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
