// What goes in and out of a trainer besides data: parameters, gradients, hyper-parameters, checkpoints.
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "wasmgrad/training/torch/loop/checkpoint_tensors.hpp"
#include "wasmgrad/training/torch/loop/trainer_state.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

namespace {

constexpr std::string_view kModelPrefix = "model.";
constexpr std::string_view kBestPrefix = "best.";

/// What a checkpoint keeps, under its names there: "model.*" is what the training goes on from, "best.*" are
/// the model's tensors `best` at the best epoch, if there are any.
std::vector<NamedTensor> kept_tensors(std::vector<NamedTensor> model, const std::vector<at::Tensor>& best,
                                      const Optimizer& optimizer) {
  std::vector<NamedTensor> named = std::move(model);
  const std::size_t count = named.size();
  for (std::size_t i = 0; i < best.size() && i < count; ++i) {
    named.push_back({std::string(kBestPrefix) + named[i].name.substr(kModelPrefix.size()), best[i]});
  }
  for (NamedTensor& entry : optimizer.state()) named.push_back({"optimizer." + entry.name, entry.tensor});
  return named;
}

Status check_size(std::uint64_t given, std::uint64_t expected, const char* what) {
  if (given == expected) return {};
  return Error{Errc::kInvalidArgument, std::string(what) + " take " + std::to_string(expected) +
                                           " bytes; the buffer has " + std::to_string(given)};
}

Status check_finite(std::span<const std::byte> values, const char* what) {
  for (std::size_t i = 0; i < values.size() / sizeof(float); ++i) {
    float value = 0;
    std::memcpy(&value, values.data() + i * sizeof(float), sizeof(float));
    if (std::isfinite(value)) continue;
    return Error{Errc::kInvalidArgument, std::string(what) + ": the value at index " + std::to_string(i) +
                                             " is " + std::to_string(value) + "; all must be finite"};
  }
  return {};
}

}  // namespace

Status TorchTrainer::set(std::string_view key, double value) {
  State& state = *state_;
  return guarded("setting", [&]() -> Status {
    TrainerOptions options = state.options;
    WASMGRAD_CHECK(training::set(options, key, value));
    state.learner.configure(options);
    state.options = std::move(options);
    state.settings.insert_or_assign(std::string(key), value);
    return {};
  });
}

std::uint64_t TorchTrainer::parameter_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const at::Tensor& parameter : state_->learner.parameters()) bytes += parameter.nbytes();
  return bytes;
}

Status TorchTrainer::parameters(std::span<std::byte> to) const {
  WASMGRAD_CHECK(check_size(to.size(), parameter_bytes(), "the parameters"));
  for (const at::Tensor& parameter : state_->learner.parameters()) {
    std::memcpy(to.data(), parameter.const_data_ptr(), parameter.nbytes());
    to = to.subspan(parameter.nbytes());
  }
  return {};
}

Status TorchTrainer::set_parameters(std::span<const std::byte> values) {
  WASMGRAD_CHECK(check_size(values.size(), parameter_bytes(), "the parameters"));
  WASMGRAD_CHECK(check_finite(values, "the parameters"));
  state_->best.adopt(state_->learner.model_tensors());
  state_->shared = false;
  for (const at::Tensor& parameter : state_->learner.parameters()) {
    std::memcpy(parameter.mutable_data_ptr(), values.data(), parameter.nbytes());
    values = values.subspan(parameter.nbytes());
  }
  return {};
}

Status TorchTrainer::gradients(std::span<std::byte> to) const {
  WASMGRAD_CHECK(check_size(to.size(), parameter_bytes(), "the gradients"));
  const Learner& learner = state_->learner;
  return guarded("gradients", [&]() -> Status {
    const c10::NoGradGuard no_grad;
    for (std::size_t i = 0; i < learner.parameters().size(); ++i) {
      const std::size_t bytes = learner.parameters()[i].nbytes();
      at::Tensor gradient = learner.gradient_sums()[i];
      if (gradient.defined() && learner.pending_weight() != 1)
        gradient = gradient.div(learner.pending_weight());
      if (gradient.defined()) {
        gradient = gradient.contiguous();
        std::memcpy(to.data(), gradient.const_data_ptr(), bytes);
      } else {
        std::memset(to.data(), 0, bytes);
      }
      to = to.subspan(bytes);
    }
    return {};
  });
}

Status TorchTrainer::set_gradients(std::span<const std::byte> values) {
  WASMGRAD_CHECK(check_size(values.size(), parameter_bytes(), "the gradients"));
  WASMGRAD_CHECK(check_finite(values, "the gradients"));
  return guarded("gradients", [&]() -> Status {
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : state_->learner.parameters()) {
      gradients.push_back(at::empty_like(parameter));
      std::memcpy(gradients.back().mutable_data_ptr(), values.data(), parameter.nbytes());
      values = values.subspan(parameter.nbytes());
    }
    state_->learner.set_gradients(std::move(gradients));
    return {};
  });
}

Expected<std::vector<std::byte>> TorchTrainer::checkpoint() const {
  const State& state = *state_;
  return guarded("checkpoint", [&]() -> Expected<std::vector<std::byte>> {
    if (const Status clear = state.check_nothing_pending(); !clear) return clear.error().within("checkpoint");
    std::vector<NamedTensor> model = state.learner.model_tensors();
    std::vector<at::Tensor> best = state.best.tensors();
    if (state.best.shown()) {
      for (std::size_t i = 0; i < best.size(); ++i) std::swap(model[i].tensor, best[i]);
    }
    WASMGRAD_ASSIGN(const StoredTensors stored,
                    StoredTensors::create(kept_tensors(std::move(model), best, state.learner.optimizer())));
    return write_checkpoint(state.options, state.threads, state.settings, state.counters, state.best.shown(),
                            stored.views());
  });
}

Status TorchTrainer::restore(std::span<const std::byte> checkpoint) {
  State& state = *state_;
  return guarded("checkpoint", [&]() -> Status {
    // Several processes go on with other bits than one anyway, and may be as many as there are hosts left.
    const auto threads = state.replicas.in_group() ? std::nullopt : std::optional(state.threads);
    WASMGRAD_ASSIGN(Checkpoint read, read_checkpoint(checkpoint, state.created_options, threads));
    TrainerOptions options = state.created_options;
    for (const auto& [key, value] : read.settings) {
      if (const Status set = training::set(options, key, value); !set)
        return Error{Errc::kInvalidEncoding, set.error().within("checkpoint").message};
    }
    // A copy shares the state tensors, and has those that the settings need besides.
    Optimizer optimizer = state.learner.optimizer();
    optimizer.configure(options.optimizer);
    const std::vector<NamedTensor> model = state.learner.model_tensors();
    std::vector<at::Tensor> best;
    if (read.has(kBestPrefix)) best = BestWeights::room_for(model);
    WASMGRAD_CHECK(load_tensors(read, kept_tensors(model, best, optimizer)));
    state.learner.set_optimizer(std::move(optimizer));
    state.learner.configure(options);
    state.learner.drop_gradients();
    state.options = std::move(options);
    state.settings = std::move(read.settings);
    state.counters = read.counters;
    state.epoch_failed = false;
    state.steps = {};
    state.pending = {};
    state.shared = false;
    state.epoch_batches = 0;
    state.best.set(state.keeps_best() ? std::move(best) : std::vector<at::Tensor>());
    if (read.best_shown) state.best.show(model);
    return {};
  });
}

std::uint64_t TorchTrainer::state_bytes() const noexcept {
  const std::uint64_t optimizer = state_->learner.optimizer().state_bytes();
  const std::uint64_t model = state_->learner.model().bytes();
  const std::uint64_t kept = state_->options.restore_on_error ? model + optimizer : 0;
  const std::uint64_t best = state_->keeps_best() ? model : 0;
  return parameter_bytes() + optimizer + kept + best;
}

}  // namespace wasmgrad::training
