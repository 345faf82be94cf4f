// How a learner meets data whose columns it has not seen before: the program for it, tried on a few rows.
#include <algorithm>
#include <utility>

#include "wasmgrad/training/class_labels.hpp"
#include "wasmgrad/training/frozen.hpp"
#include "wasmgrad/training/learner.hpp"
#include "wasmgrad/training/loss.hpp"
#include "wasmgrad/training/torch_error.hpp"

namespace wasmgrad::training {

namespace {

/// Plans and programs that are kept. Data that changes its shape all the time costs a trial each time.
constexpr std::size_t kMostPlans = 64;

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

std::vector<at::Tensor> first_rows(const std::vector<NamedTensor>& columns, const at::Tensor& index,
                                   std::int64_t rows) {
  std::vector<at::Tensor> first;
  for (const NamedTensor& column : columns) {
    first.push_back(index.defined() ? column.tensor.index_select(0, index.narrow(0, 0, rows))
                                    : model_rows(column.tensor, 0, rows));
  }
  return first;
}

}  // namespace

std::string shapes_of(const std::vector<NamedTensor>& columns, std::int64_t samples) {
  std::string text = columns.size() == 1 ? "inputs of shape " : "inputs of shapes ";
  for (std::size_t i = 0; i < columns.size(); ++i) {
    auto shape = columns[i].tensor.sizes().vec();
    shape[0] = samples;
    text += (i == 0 ? "" : ", ") + format_shape(shape);
  }
  return text;
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
    WASMGRAD_ASSIGN(Program lowered, Program::lower(model_.storage().module, bound, without_loss));
    programs_.push_back({std::move(bound), without_loss, std::move(lowered)});
    if (programs_.size() > kMostPlans) programs_.pop_front();
  }
  return &programs_.back().program;
}

Expected<Plan> Learner::make_plan(const Dataset::Storage& data) {
  WASMGRAD_ASSIGN(Program * program, this->program(data.inputs, data.targets));
  const std::int64_t rows = std::min<std::int64_t>(2, data.size);
  Plan plan{types_of(data.inputs), types_of(data.targets), *program, {}, {}};
  const Batch batch{first_rows(data.inputs, data.index, rows), first_rows(data.targets, data.index, rows)};
  std::vector<NamedTensor> outputs;
  try {
    outputs = program->forward_eval(program_inputs(options_, batch));
  } catch (const std::exception&) {
    return current_refusal("the model does not take " + shapes_of(data.inputs, data.size));
  }
  if (options_.model_loss) {
    WASMGRAD_CHECK(own_loss(outputs));
    return plan;
  }
  WASMGRAD_ASSIGN(plan.losses, bind_losses(options_, outputs, data.targets));
  for (const BoundLoss& loss : plan.losses) {
    const bool classes = is_classification(loss.kind);
    at::Tensor target = batch.targets[loss.target];
    if (classes) {
      WASMGRAD_CHECK(highest_label(target, {}, data.targets[loss.target].name));
      target = class_indices(target);
    }
    WASMGRAD_ASSIGN(const at::Tensor output, output_named(outputs, loss.output));
    WASMGRAD_CHECK(check_output(loss.kind, output, target));
    plan.classes.push_back(classes ? output.size(1) : 0);
  }
  return plan;
}

Expected<Plan*> Learner::plan(const Dataset::Storage& data) {
  const auto known = std::ranges::find_if(plans_, [&](const Plan& plan) {
    return are_types_of(plan.inputs, data.inputs) && are_types_of(plan.targets, data.targets);
  });
  if (known != plans_.end()) {
    plans_.splice(plans_.end(), plans_, known);
  } else {
    WASMGRAD_ASSIGN(Plan made, make_plan(data));
    plans_.push_back(std::move(made));
    if (plans_.size() > kMostPlans) plans_.pop_front();
  }
  Plan& plan = plans_.back();
  for (std::size_t i = 0; i < plan.losses.size(); ++i) {
    if (plan.classes[i] == 0) continue;
    const std::size_t target = plan.losses[i].target;
    WASMGRAD_ASSIGN(const std::int64_t highest, data.highest_label(target));
    if (highest < plan.classes[i]) continue;
    const Error error = label_beyond(data.targets[target].tensor, data.index, plan.classes[i]);
    return data.targets.size() == 1 ? error : error.within(quoted(data.targets[target].name, "targets"));
  }
  return &plan;
}

}  // namespace wasmgrad::training
