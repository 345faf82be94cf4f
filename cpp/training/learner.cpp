#include "wasmgrad/training/learner.hpp"

#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "wasmgrad/training/loss.hpp"
#include "wasmgrad/training/torch_error.hpp"

namespace wasmgrad::training {

namespace {

Error invalid(std::string message) { return {Errc::kInvalidArgument, std::move(message)}; }

Status check_labels(const at::Tensor& targets, std::int64_t classes, const std::string& what) {
  const std::int64_t* label = targets.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < targets.numel(); ++i) {
    if (label[i] < classes) continue;
    return invalid(what + ": the label at index " + std::to_string(i) + " is " + std::to_string(label[i]) +
                   "; the model has " + std::to_string(classes) + " classes, so labels are 0.." +
                   std::to_string(classes - 1));
  }
  return {};
}

}  // namespace

Learner::Learner(Model model, const TrainerOptions& options, std::vector<NamedTensor> parameters)
    : model_(std::move(model)), options_(options), optimizer_(options.optimizer, std::move(parameters)) {}

Expected<Learner> Learner::create(Model model, const TrainerOptions& options) {
  const std::string who = "model '" + model.storage().name + "'";
  const auto forward = model.storage().module.get_method("forward");
  const auto& returns = forward.function().getSchema().returns();
  if (returns.size() != 1 || returns[0].type()->kind() != c10::TypeKind::TensorType) {
    return invalid(who + ": forward returns " + (returns.empty() ? "nothing" : returns[0].type()->str()) +
                   "; training needs one Tensor");
  }
  std::vector<NamedTensor> parameters = model.storage().trainable();
  if (parameters.empty()) return invalid(who + " has no trainable parameter");
  for (NamedTensor& entry : parameters) {
    if (entry.tensor.scalar_type() != at::kFloat) {
      return invalid(who + ": parameter '" + entry.name + "' is of type " +
                     std::string(entry.tensor.dtype().name()) + "; only float (f32) parameters are trained");
    }
    if (!entry.tensor.is_contiguous()) entry.tensor.set_data(entry.tensor.detach().contiguous());
    entry.tensor.mutable_grad().reset();
  }
  return Learner(std::move(model), options, std::move(parameters));
}

Expected<Program*> Learner::program(at::ScalarType inputs) {
  const bool bytes = inputs == at::kByte;
  // An explicit scale holds for every type.
  std::optional<Program>& slot = programs_[bytes && !options_.input_scale ? 1 : 0];
  if (!slot) {
    const double scale = options_.input_scale.value_or(bytes ? 1.0 / 255 : 1.0);
    WASMGRAD_ASSIGN(slot, Program::lower(model_.storage().module, {scale, options_.input_offset}));
  }
  return &*slot;
}

Status Learner::check(const at::Tensor& inputs, const at::Tensor& targets, const std::string& what) {
  WASMGRAD_ASSIGN(Program * program, this->program(inputs.scalar_type()));
  const std::int64_t rows = std::min<std::int64_t>(2, inputs.size(0));
  at::Tensor output;
  try {
    output = program->forward_eval(model_rows(inputs, 0, rows));
  } catch (const std::exception&) {
    return invalid(
        current_error(what + ": the model does not take inputs of shape " + format_shape(inputs.sizes()))
            .message);
  }
  if (const Status fits = check_output(options_.loss, output, targets.narrow(0, 0, rows)); !fits) {
    return fits.error().within(what);
  }
  return is_classification(options_.loss) ? check_labels(targets, output.size(1), what) : Status{};
}

Status Learner::train_batch(const at::Tensor& inputs, const at::Tensor& targets, std::uint64_t step,
                            double learning_rate, MetricSum& sum) {
  WASMGRAD_ASSIGN(Program * program, this->program(inputs.scalar_type()));
  const at::Tensor output = program->forward_train(inputs, {options_.seed, step}).to(at::kFloat);
  WASMGRAD_CHECK(check_output(options_.loss, output, targets));
  if (!output.requires_grad()) return invalid("no trainable parameter of the model takes part in its output");

  LossAndGradient result = loss_and_gradient(options_.loss, output.detach(), targets);
  if (!std::isfinite(result.loss)) {
    return Error{Errc::kRuntimeError,
                 "the loss is " + std::to_string(result.loss) +
                     "; training cannot go on (a lower learning rate or gradient clipping may help)"};
  }
  torch::autograd::backward({output}, {std::move(result.gradient)});
  if (options_.clip_norm || options_.clip_value) {
    const std::vector<at::Tensor> gradients = optimizer_.gradients();
    if (options_.clip_value) clip_by_value(gradients, *options_.clip_value);
    if (options_.clip_norm) clip_by_norm(gradients, *options_.clip_norm);
  }
  optimizer_.step(learning_rate);
  optimizer_.clear_gradients();

  sum.add_loss(result.loss, output.size(0));
  if (is_classification(options_.loss)) sum.add_ranks(output.detach(), targets, options_.top_k);
  return {};
}

Expected<Metrics> Learner::evaluate(const at::Tensor& inputs, const at::Tensor& targets,
                                    const StopToken* stop) {
  WASMGRAD_ASSIGN(Program * program, this->program(inputs.scalar_type()));
  MetricSum sum;
  const std::int64_t samples = inputs.size(0);
  for (std::int64_t begin = 0; begin < samples; begin += options_.batch_size) {
    if (stop != nullptr && stop->requested())
      return Error{Errc::kInterrupted, "the evaluation was interrupted"};
    const std::int64_t count = std::min(options_.batch_size, samples - begin);
    const at::Tensor batch_targets = targets.narrow(0, begin, count);
    const at::Tensor output = program->forward_eval(model_rows(inputs, begin, count)).to(at::kFloat);
    WASMGRAD_CHECK(check_output(options_.loss, output, batch_targets));
    sum.add_loss(loss_value(options_.loss, output, batch_targets), count);
    if (is_classification(options_.loss)) sum.add_ranks(output, batch_targets, options_.top_k);
  }
  return sum.mean(options_.top_k);
}

Expected<at::Tensor> Learner::predict(const at::Tensor& inputs) {
  WASMGRAD_ASSIGN(Program * program, this->program(inputs.scalar_type()));
  std::vector<at::Tensor> outputs;
  const std::int64_t samples = inputs.size(0);
  for (std::int64_t begin = 0; begin < samples; begin += options_.batch_size) {
    const std::int64_t count = std::min(options_.batch_size, samples - begin);
    outputs.push_back(program->forward_eval(model_rows(inputs, begin, count)).to(at::kFloat));
    if (outputs.back().dim() == 0 || outputs.back().size(0) != count) {
      return invalid("the model's output has shape " + format_shape(outputs.back().sizes()) + " for " +
                     std::to_string(count) + " samples; a row a sample was expected");
    }
  }
  return at::cat(outputs).contiguous();
}

std::vector<NamedTensor> Learner::tensors() const {
  std::vector<NamedTensor> named;
  for (NamedTensor& entry : model_.storage().tensors())
    named.push_back({"model." + entry.name, entry.tensor});
  for (NamedTensor& entry : optimizer_.state()) named.push_back({"optimizer." + entry.name, entry.tensor});
  return named;
}

}  // namespace wasmgrad::training
