// Runs TorchScript's interpreter without the profiling executor: that one rewrites a graph after its first
// runs, and the same inputs would not give the same bits every time.
#include "wasmgrad/training/torch/model/torch_predictor.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "wasmgrad/training/torch/compute_scope.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"
#include "wasmgrad/training/torch/dtype_map.hpp"
#include "wasmgrad/training/torch/loop/state_guard.hpp"
#include "wasmgrad/training/torch/lowering/specialize.hpp"
#include "wasmgrad/training/torch/lowering/written_state.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/model/outputs.hpp"
#include "wasmgrad/training/torch/model/program.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

using GivenInputs = std::vector<std::optional<at::Tensor>>;

Error unsupported(std::string message) { return {Errc::kUnsupportedOperation, std::move(message)}; }

bool takes_tensor(const c10::TypePtr& type) { return c10::TensorType::get()->isSubtypeOf(*type); }

Expected<std::vector<NamedTensor>> returned_by_forward(const torch::jit::Module& module,
                                                       const std::vector<PredictorInput>& inputs,
                                                       const GivenInputs& given) {
  torch::jit::Kwargs arguments;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (given[i]) arguments.emplace(inputs[i].name, *given[i]);
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  return outputs_of(module.get_method("forward")({}, arguments));
}

}  // namespace

/// Kept from run to run: who leaves the target out once does so again.
struct TorchPredictor::Reduced {
  std::vector<std::string> unneeded;  ///< arguments that only the loss needs
  std::vector<std::string> inputs;    ///< of `program`
  std::optional<Program> program;

  Expected<std::vector<NamedTensor>> returned(const torch::jit::Module& module,
                                              const std::vector<PredictorInput>& known,
                                              const GivenInputs& given) {
    std::vector<ProgramInput> wanted;
    std::vector<std::string> names;
    std::vector<at::Tensor> tensors;
    bool whole = true;
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (given[i]) {
        wanted.push_back({known[i].name, {1, 0, InputTransform::Kind::kUntouched}});
        names.push_back(known[i].name);
        tensors.push_back(*given[i]);
      } else if (std::ranges::find(unneeded, known[i].name) != unneeded.end()) {
        whole = false;
      }
    }
    if (whole) return returned_by_forward(module, known, given);
    if (!program || inputs != names) {
      WASMGRAD_ASSIGN(program, Program::lower(module, wanted, {}, /*without_loss=*/true));
      inputs = std::move(names);
    }
    return program->forward_eval(tensors);
  }
};

TorchPredictor::TorchPredictor(TorchModel model, std::vector<PredictorInput> inputs,
                               std::shared_ptr<const lowering::WrittenState> written)
    : model_(std::move(model)),
      inputs_(std::move(inputs)),
      written_(std::move(written)),
      reduced_(std::make_shared<Reduced>()) {}

Expected<TorchPredictor> TorchPredictor::create(TorchModel model) {
  const std::string where = "model '" + model.storage().name + "'";
  return guarded(where, [&]() -> Expected<TorchPredictor> {
    std::vector<PredictorInput> inputs;
    const auto& arguments = model.storage().module.get_method("forward").function().getSchema().arguments();
    for (const c10::Argument& argument : std::span(arguments).subspan(1)) {  // the first is self
      const bool has_default = argument.default_value().has_value();
      if (takes_tensor(argument.type())) {
        inputs.push_back({argument.name(), !has_default});
      } else if (!has_default) {
        return unsupported(where + ": forward needs the argument '" + argument.name() + "' of type " +
                           argument.type()->str() + "; only tensors can be given");
      }
    }
    std::vector<ProgramInput> bound;
    for (const PredictorInput& input : inputs) bound.push_back({input.name, {}});
    const torch::jit::Module& module = model.storage().module;
    auto written = std::make_shared<const lowering::WrittenState>(
        lowering::written_state(lowering::specialize(module, bound, /*training=*/false), module));
    TorchPredictor predictor(std::move(model), std::move(inputs), std::move(written));
    const auto needed = [](const PredictorInput& input) { return input.required; };
    if (std::ranges::count_if(predictor.inputs_, needed) > 1) {
      predictor.reduced_->unneeded = loss_arguments(predictor.model_.storage().module);
      for (PredictorInput& input : predictor.inputs_)
        input.required &=
            std::ranges::find(predictor.reduced_->unneeded, input.name) == predictor.reduced_->unneeded.end();
    }
    return predictor;
  });
}

const std::vector<PredictorInput>& TorchPredictor::inputs() const noexcept { return inputs_; }

Expected<std::vector<Output>> TorchPredictor::run(std::span<const TensorView> inputs,
                                                  std::uint64_t max_output_bytes) const {
  const std::string where = "model '" + model_.storage().name + "'";
  const auto predict = [&]() -> Expected<std::vector<Output>> {
    const bool by_name =
        std::ranges::any_of(inputs, [](const TensorView& input) { return !input.name().empty(); });
    GivenInputs given(inputs_.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      std::size_t index = i;
      if (by_name) {
        const auto named = std::ranges::find(inputs_, inputs[i].name(), &PredictorInput::name);
        index = static_cast<std::size_t>(named - inputs_.begin());
      }
      if (index >= inputs_.size()) {
        return invalid(by_name ? "it has no input '" + inputs[i].name() + "'"
                               : std::to_string(inputs.size()) + " inputs were given; it takes " +
                                     std::to_string(inputs_.size()));
      }
      if (given[index]) return invalid("input '" + inputs_[index].name + "' was given twice");
      given[index] = tensor_over(inputs[i]).clone();  // an operator of the model may write to it
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      if (inputs_[i].required && !given[i]) return invalid("input '" + inputs_[i].name + "' is missing");
    const ComputeScope scope(usable_threads());
    const StateGuard unchanged(*written_);
    WASMGRAD_ASSIGN(const auto tensors, reduced_->returned(model_.storage().module, inputs_, given));
    std::vector<Output> outputs;
    for (const NamedTensor& tensor : tensors) {
      WASMGRAD_ASSIGN(Output output, output_of(tensor, max_output_bytes));
      outputs.push_back(std::move(output));
    }
    return outputs;
  };
  return guarded(where, [&]() -> Expected<std::vector<Output>> {
    auto outputs = predict();
    if (!outputs) return outputs.error().within(where);
    return outputs;
  });
}

std::uint64_t TorchPredictor::model_bytes() const {
  std::uint64_t bytes = 0;
  for (const NamedTensor& entry : model_.storage().tensors()) bytes += entry.tensor.nbytes();
  return bytes;
}

}  // namespace wasmgrad::training
