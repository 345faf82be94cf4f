// How a learner meets data whose columns it has not seen before: the program for it, and the losses over what
// its first batch gave.
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/data/class_labels.hpp"
#include "wasmgrad/training/torch/loop/frozen.hpp"
#include "wasmgrad/training/torch/loop/learner.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

/// Bindings and programs that are kept. Data that changes its shape all the time is bound anew each time.
constexpr std::size_t kMostBindings = 64;

bool is_type_of(const ColumnType& type, const NamedTensor& column) {
  return column.tensor.sizes().slice(1) == at::IntArrayRef(type.row_shape) &&
         column.tensor.scalar_type() == type.type && column.name == type.name;
}

bool are_types_of(const std::vector<ColumnType>& types, const std::vector<NamedTensor>& columns) {
  return std::equal(types.begin(), types.end(), columns.begin(), columns.end(), is_type_of);
}

std::vector<ColumnType> types_of(const std::vector<NamedTensor>& columns) {
  std::vector<ColumnType> types;
  for (const NamedTensor& column : columns)
    types.push_back({column.name, column.tensor.scalar_type(), column.tensor.sizes().slice(1).vec()});
  return types;
}

bool is_same(const ProgramInput& a, const ProgramInput& b) {
  return a.name == b.name && a.transform.kind == b.transform.kind && a.transform.scale == b.transform.scale &&
         a.transform.offset == b.transform.offset;
}

Error beyond_classes(const NamedTensor& target, const RowIndex& rows, std::int64_t classes,
                     IgnoredLabel ignored, bool of_many) {
  const Error error = label_beyond(view_of(target), rows, classes, ignored);
  return of_many ? error.within(quoted(target.name, "targets")) : error;
}

/// Whether all class targets are among the model's classes, as far as those are known.
Status check_labels(const DataBinding& binding, const DataTensors& data, IgnoredLabel ignored) {
  for (std::size_t i = 0; i < binding.losses.size(); ++i) {
    if (binding.classes[i] == 0) continue;
    const std::size_t target = binding.losses[i].target;
    WASMGRAD_ASSIGN(const std::int64_t highest, data.highest_label(target, ignored));
    if (highest >= binding.classes[i])
      return beyond_classes(data.targets[target], rows_of(data.index), binding.classes[i], ignored,
                            data.targets.size() > 1);
  }
  return {};
}

}  // namespace

Error refused_inputs(std::span<const at::Tensor> inputs) {
  std::string text = inputs.size() == 1 ? "inputs of shape " : "inputs of shapes ";
  for (std::size_t i = 0; i < inputs.size(); ++i)
    text += (i == 0 ? "" : ", ") + format_shape(inputs[i].sizes());
  return current_refusal("the model does not take " + text);
}

Expected<Program*> Learner::program(const std::vector<NamedTensor>& inputs,
                                    const std::vector<NamedTensor>& targets, bool without_loss) {
  WASMGRAD_ASSIGN(auto bound, bind_arguments(arguments_, options_, inputs, targets));
  const auto known = std::ranges::find_if(programs_, [&](const Lowered& lowered) {
    return lowered.without_loss == without_loss && std::ranges::equal(lowered.inputs, bound, is_same);
  });
  if (known != programs_.end()) {
    programs_.splice(programs_.end(), programs_, known);
  } else {
    const FrozenScope frozen(frozen_);
    WASMGRAD_ASSIGN(
        Program lowered,
        Program::lower(model_.storage().module, bound, held_, without_loss, model_.storage().adapters,
                       {.for_speed = options_.rewrites, .bf16 = options_.precision == Precision::kBF16}));
    programs_.push_back({std::move(bound), without_loss, std::move(lowered)});
    if (programs_.size() > kMostBindings) programs_.pop_front();
  }
  return &programs_.back().program;
}

/// The losses over `outputs`, which the model gave for `batch`.
Status Learner::bind(DataBinding& binding, const std::vector<NamedTensor>& outputs,
                     const Batch& batch) const {
  if (options_.model_loss) {
    WASMGRAD_CHECK(own_loss(outputs));
    binding.bound = true;
    return {};
  }
  std::vector<NamedTensor> targets;
  for (std::size_t i = 0; i < binding.targets.size(); ++i)
    targets.push_back({binding.targets[i].name, batch.targets[i]});
  WASMGRAD_ASSIGN(auto losses, bind_losses(options_, outputs, targets));
  std::vector<std::int64_t> classes;
  for (const BoundLoss& loss : losses) {
    const NamedTensor& target = targets[loss.target];
    WASMGRAD_ASSIGN(const at::Tensor output, output_named(outputs, loss.output));
    std::int64_t width = 0;
    if (loss.function.has_labels(output, target.tensor)) {
      const IgnoredLabel ignored = options_.ignore_index;
      WASMGRAD_ASSIGN(const std::int64_t highest, highest_label(view_of(target), {}, ignored));
      WASMGRAD_CHECK(loss.function.check(output, loss.function.target_form(output, target.tensor)));
      width = output.size(1);
      if (highest >= width) return beyond_classes(target, {}, width, ignored, targets.size() > 1);
    } else {
      WASMGRAD_CHECK(loss.function.check(output, loss.function.target_form(output, target.tensor)));
    }
    classes.push_back(width);
  }
  binding.losses = std::move(losses);
  binding.classes = std::move(classes);
  binding.bound = true;
  return {};
}

Expected<DataBinding*> Learner::binding(const DataTensors& data) {
  const auto known = std::ranges::find_if(bindings_, [&](const DataBinding& binding) {
    return are_types_of(binding.inputs, data.inputs) && are_types_of(binding.targets, data.targets);
  });
  if (known != bindings_.end()) {
    bindings_.splice(bindings_.end(), bindings_, known);
  } else {
    WASMGRAD_ASSIGN(Program * program, this->program(data.inputs, data.targets));
    bindings_.push_back({types_of(data.inputs), types_of(data.targets), *program, false, {}, {}});
    if (bindings_.size() > kMostBindings) bindings_.pop_front();
  }
  WASMGRAD_CHECK(check_labels(bindings_.back(), data, options_.ignore_index));
  return &bindings_.back();
}

Status Learner::rehearse(DataBinding& binding, const DataTensors& data, bool training) {
  if (binding.bound) return {};
  const Batch batch =
      EpochBatches::in_order(data, std::min<std::int64_t>(options_.batch_size, data.size)).batch(0);
  const std::vector<at::Tensor> inputs = program_inputs(options_, batch);
  const c10::NoGradGuard no_grad;
  const Attempt undone(*this, binding);
  std::vector<NamedTensor> outputs;
  try {
    outputs = training ? binding.program.forward_train(inputs, {options_.seed, 0})
                       : binding.program.forward_eval(inputs);
  } catch (const std::exception&) {
    return refused_inputs(batch.inputs);
  }
  WASMGRAD_CHECK(bind(binding, outputs, batch));
  return check_labels(binding, data, options_.ignore_index);
}

}  // namespace wasmgrad::training
