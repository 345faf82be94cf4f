// A trainer over single batches that the caller gives: gradients, steps, predictions.
#include <string>
#include <utility>

#include "wasmgrad/training/torch/compute_scope.hpp"
#include "wasmgrad/training/torch/data/data_tensors.hpp"
#include "wasmgrad/training/torch/dtype_map.hpp"
#include "wasmgrad/training/torch/data/epoch_batches.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"
#include "wasmgrad/training/torch/loop/trainer_state.hpp"
#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::training {

namespace {

/// Tensors over the views, which must have a row a sample, as many of them in each.
Expected<std::vector<NamedTensor>> columns_over(std::span<const TensorView> views, const char* what,
                                                std::int64_t& samples) {
  std::vector<NamedTensor> columns;
  columns.reserve(views.size());
  for (std::size_t i = 0; i < views.size(); ++i) {
    const TensorView& view = views[i];
    const auto named = [&] { return quoted(view.name(), what + (" " + std::to_string(i))); };
    if (view.shape().empty() || view.numel() == 0) {
      return Error{Errc::kInvalidArgument,
                   named() + " has shape " + format_shape(view.shape()) + "; at least one sample is needed"};
    }
    if (samples != 0 && view.shape()[0] != samples) {
      return Error{Errc::kInvalidArgument, named() + " has " + std::to_string(view.shape()[0]) +
                                               " samples; those before it have " + std::to_string(samples)};
    }
    samples = view.shape()[0];
    columns.push_back({view.name(), tensor_over(view)});
  }
  return columns;
}

}  // namespace

Expected<Output> output_of(NamedTensor entry) {
  const at::Tensor tensor = entry.tensor.contiguous();
  const bool truth = tensor.scalar_type() == at::kBool;
  const auto dtype = truth ? DType::kU8 : to_dtype(tensor.scalar_type());
  if (!dtype) {
    return Error{Errc::kUnsupportedOperation, "output '" + entry.name + "' is of type " +
                                                  std::string(tensor.dtype().name()) +
                                                  ", which has no tensor type here"};
  }
  const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
  return Output{std::move(entry.name), *dtype, tensor.sizes().vec(), {data, data + tensor.nbytes()}};
}

Expected<Metrics> TorchTrainer::State::train_batch(std::span<const TensorView> inputs,
                                              std::span<const TensorView> targets,
                                              std::optional<double> rate) {
  const auto where = [&] { return "step " + std::to_string(counters.step + 1); };
  if (inputs.empty()) return Error{Errc::kInvalidArgument, where() + ": there are no inputs"};
  DataTensors data;
  std::int64_t samples = 0;
  WASMGRAD_ASSIGN(data.inputs, columns_over(inputs, "input", samples));
  WASMGRAD_ASSIGN(data.targets, columns_over(targets, "target", samples));
  data.size = samples;
  const auto plan = learner.plan(data);
  if (!plan) return plan.error().within(where());
  TrainingWeights weights(*this);
  Learner::Attempt attempt(learner, *plan.value());
  MetricSum sum;
  const Status done = learner.backward(*plan.value(), EpochBatches::in_order(data, samples).batch(0),
                                       static_cast<std::uint64_t>(counters.passes), sum);
  if (!done) return done.error().within(where());
  if (rate) {
    const Status applied = apply(*rate);
    if (!applied) return applied.error().within(where());
  }
  attempt.keep();
  weights.keep();
  ++counters.passes;
  steps.add(sum);
  return sum.mean(options.top_k);
}

Status TorchTrainer::State::apply(double rate) {
  TrainingWeights weights(*this);
  WASMGRAD_CHECK(learner.apply(rate));
  weights.keep();
  last_rate = rate;
  ++counters.step;
  return {};
}

void TorchTrainer::State::report_steps() {
  last_report = Clock::now();
  if (steps.samples == 0) return;
  observer->on_steps({counters.step, steps.mean(options.top_k), last_rate});
  steps = {};
}

Expected<Metrics> TorchTrainer::step(std::span<const TensorView> inputs, std::span<const TensorView> targets) {
  State& state = *state_;
  return guarded("training step", [&]() -> Expected<Metrics> {
    const ComputeScope scope(state.threads);
    WASMGRAD_ASSIGN(const double rate, state.rate_of_single_step());
    WASMGRAD_ASSIGN(const Metrics metrics, state.train_batch(inputs, targets, rate));
    if (Clock::now() - state.last_report >= kProgressInterval) state.report_steps();
    return metrics;
  });
}

Expected<Metrics> TorchTrainer::backward(std::span<const TensorView> inputs, std::span<const TensorView> targets) {
  return guarded("training step", [&]() -> Expected<Metrics> {
    const ComputeScope scope(state_->threads);
    return state_->train_batch(inputs, targets, std::nullopt);
  });
}

Status TorchTrainer::apply() {
  State& state = *state_;
  return guarded("training step", [&]() -> Status {
    const ComputeScope scope(state.threads);
    if (state.learner.pending() == 0)
      return Error{Errc::kInvalidArgument, "there are no gradients to apply; backward() adds them"};
    WASMGRAD_ASSIGN(const double rate, state.rate_of_single_step());
    WASMGRAD_CHECK(state.apply(rate));
    if (Clock::now() - state.last_report >= kProgressInterval) state.report_steps();
    return {};
  });
}

Expected<std::vector<Output>> TorchTrainer::predict(std::span<const TensorView> inputs) {
  return guarded("prediction", [&]() -> Expected<std::vector<Output>> {
    const ComputeScope scope(state_->threads);
    if (inputs.empty()) return Error{Errc::kInvalidArgument, "there are no inputs"};
    std::int64_t samples = 0;
    WASMGRAD_ASSIGN(const auto columns, columns_over(inputs, "input", samples));
    WASMGRAD_ASSIGN(auto predicted, state_->learner.predict(columns));
    std::vector<Output> outputs;
    for (NamedTensor& entry : predicted) {
      WASMGRAD_ASSIGN(Output output, output_of(std::move(entry)));
      outputs.push_back(std::move(output));
    }
    return outputs;
  });
}

}  // namespace wasmgrad::training
