#include "wasmgrad/training/torch/loop/binding.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"

namespace wasmgrad::training {

namespace {

/// "'a', 'b'"
template <class List>
std::string names_of(const List& list) {
  std::string text;
  for (const auto& entry : list) text += (text.empty() ? "'" : ", '") + entry.name + "'";
  return text.empty() ? "none" : text;
}

/// Where `list` has `name`, which may also be a position in decimal.
template <class List>
std::optional<std::size_t> find_named(const List& list, const std::string& name) {
  for (std::size_t i = 0; i < list.size(); ++i)
    if (list[i].name == name) return i;
  for (std::size_t i = 0; i < list.size(); ++i)
    if (std::to_string(i) == name) return i;
  return std::nullopt;
}

bool has_names(const TrainerOptions& options, const std::vector<NamedTensor>& columns) {
  return !options.by_position &&
         std::ranges::any_of(columns, [](const NamedTensor& column) { return !column.name.empty(); });
}

InputTransform transform_of(const TrainerOptions& options, const std::string& argument, std::size_t position,
                            at::ScalarType type) {
  std::optional<double> scale = options.input_scale;
  double offset = options.input_offset;
  for (const InputScale& own : options.inputs) {
    if (own.input != argument && own.input != std::to_string(position)) continue;
    scale = own.scale;
    offset = own.offset;
  }
  const bool integers = type == at::kInt || type == at::kLong;
  if (options.keep_integers && integers && !scale && offset == 0)
    return {1, 0, InputTransform::Kind::kInteger};
  return {scale.value_or(type == at::kByte ? 1.0 / 255 : 1.0), offset, InputTransform::Kind::kFloat};
}

InputTransform transform_of_target(at::ScalarType type) {
  return {1, 0,
          at::isIntegralType(type, true) ? InputTransform::Kind::kInteger : InputTransform::Kind::kFloat};
}

/// The argument of column `i`, the first of whose list stands at `first` when there are no names.
Expected<std::size_t> argument_of(const std::vector<ForwardArgument>& arguments,
                                  const std::vector<NamedTensor>& columns, std::size_t i, bool by_name,
                                  std::size_t first, const char* what) {
  if (by_name) {
    for (std::size_t a = 0; a < arguments.size(); ++a)
      if (arguments[a].name == columns[i].name) return a;
    return invalid(std::string(what) + " " + quoted(columns[i].name, std::to_string(i)) +
                   " is no argument of the model's forward, which takes " + names_of(arguments));
  }
  if (first + i < arguments.size()) return first + i;
  return invalid("the model's forward takes " + std::to_string(arguments.size()) + " tensors (" +
                 names_of(arguments) + "); there is none for " + what + " " + std::to_string(i));
}

/// The losses that were asked for, by position of their outputs.
Expected<std::vector<std::pair<std::size_t, BoundLoss>>> chosen_losses(
    const TrainerOptions& options, const std::vector<NamedTensor>& outputs) {
  std::vector<std::pair<std::size_t, BoundLoss>> chosen;
  for (const OutputLoss& loss : options.losses) {
    const auto position = find_named(outputs, loss.output);
    if (!position) {
      return invalid("the model has no output '" + loss.output + "' to have a loss; it has " +
                     names_of(outputs));
    }
    chosen.push_back(
        {*position, {outputs[*position].name, 0, loss.kind, loss.weight, Loss(loss.kind, options)}});
  }
  std::ranges::sort(chosen, {}, [](const auto& entry) { return entry.first; });
  for (std::size_t i = 1; i < chosen.size(); ++i) {
    if (chosen[i].first == chosen[i - 1].first)
      return invalid("output '" + chosen[i].second.output + "' has two losses; one is expected");
  }
  return chosen;
}

}  // namespace

Expected<std::vector<ProgramInput>> bind_arguments(const std::vector<ForwardArgument>& arguments,
                                                   const TrainerOptions& options,
                                                   const std::vector<NamedTensor>& inputs,
                                                   const std::vector<NamedTensor>& targets) {
  std::vector<ProgramInput> bound;
  const bool inputs_named = has_names(options, inputs);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    WASMGRAD_ASSIGN(const std::size_t a, argument_of(arguments, inputs, i, inputs_named, 0, "input"));
    bound.push_back(
        {arguments[a].name, transform_of(options, arguments[a].name, a, inputs[i].tensor.scalar_type())});
  }
  if (!options.model_loss) return bound;
  const bool targets_named = has_names(options, targets);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    WASMGRAD_ASSIGN(const std::size_t a,
                    argument_of(arguments, targets, i, targets_named, inputs.size(), "target"));
    bound.push_back({arguments[a].name, transform_of_target(targets[i].tensor.scalar_type())});
  }
  return bound;
}

std::vector<at::Tensor> program_inputs(const TrainerOptions& options, const Batch& batch) {
  std::vector<at::Tensor> inputs = batch.inputs;
  if (options.model_loss) inputs.insert(inputs.end(), batch.targets.begin(), batch.targets.end());
  return inputs;
}

Expected<std::vector<BoundLoss>> bind_losses(const TrainerOptions& options,
                                             const std::vector<NamedTensor>& outputs,
                                             const std::vector<NamedTensor>& targets) {
  if (targets.empty()) return invalid("there are no targets; a loss needs one");
  WASMGRAD_ASSIGN(auto losses, chosen_losses(options, outputs));
  const bool all = options.losses.empty();
  const bool by_name = has_names(options, targets);
  if (all) {
    for (std::size_t o = 0; o < outputs.size(); ++o)
      losses.push_back({o, {outputs[o].name, 0, options.loss, 1, Loss(options.loss, options)}});
  }
  std::vector<bool> has_target(losses.size(), false);
  for (std::size_t t = 0; t < targets.size(); ++t) {
    std::size_t at = t;
    if (by_name) {
      const auto found = std::ranges::find_if(
          losses, [&](const auto& entry) { return entry.second.output == targets[t].name; });
      at = static_cast<std::size_t>(found - losses.begin());
    }
    if (at >= losses.size() || has_target[at]) {
      return invalid("target " + quoted(targets[t].name, std::to_string(t)) +
                     " belongs to no output of its own; the model's outputs are " + names_of(outputs));
    }
    has_target[at] = true;
    losses[at].second.target = t;
  }
  std::vector<BoundLoss> bound;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (has_target[i]) {
      bound.push_back(std::move(losses[i].second));
    } else if (!all) {
      return invalid("there is no target for output '" + losses[i].second.output + "', which has a loss");
    }
  }
  return bound;
}

Expected<at::Tensor> output_named(const std::vector<NamedTensor>& outputs, const std::string& name) {
  for (const NamedTensor& output : outputs)
    if (output.name == name) return output.tensor;
  return invalid("the model returned no output '" + name + "'; it returned " + names_of(outputs));
}

Expected<at::Tensor> own_loss(const std::vector<NamedTensor>& outputs) {
  const bool only = outputs.size() == 1 && outputs[0].name == "0";
  WASMGRAD_ASSIGN(const at::Tensor loss, only ? outputs[0].tensor : output_named(outputs, "loss"));
  if (loss.numel() == 1 && loss.is_floating_point()) return loss.reshape({}).to(at::kFloat);
  return invalid("the model's own loss has shape " + format_shape(loss.sizes()) + " and type " +
                 std::string(loss.dtype().name()) + "; a scalar of floating point was expected");
}

Status check_scales(const std::vector<ForwardArgument>& arguments, const TrainerOptions& options) {
  for (const InputScale& own : options.inputs) {
    if (find_named(arguments, own.input)) continue;
    return invalid("a scale is given for input '" + own.input +
                   "', which is no argument of the model's forward; it takes " + names_of(arguments));
  }
  return {};
}

}  // namespace wasmgrad::training
