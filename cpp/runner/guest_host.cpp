#include "wasmgrad/runner/guest_host.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>
#include <utility>

#include "wasmgrad/abi/nn/inference_host.hpp"
#include "wasmgrad/abi/nn/model_backend.hpp"
#include "wasmgrad/runner/graph_backend.hpp"
#include "wasmgrad/runner/group.hpp"
#include "wasmgrad/training/torch/backend.hpp"

namespace wasmgrad::runner {

namespace {

abi::HostConfig host_config(const RunConfig& config, training::Observer* observer, const StopToken* stop,
                            training::Collective* group) {
  abi::HostConfig host;
  host.backend = &training::torch_backend();
  host.grants = Grants(config.dirs);
  host.models = config.models;
  host.default_model = config.default_model;
  host.overrides = config.training;
  host.max_tensor_bytes = config.limits.tensor_bytes;
  host.max_handles = config.limits.abi_handles;
  host.replication = replication(config.distributed, group);
  host.guest_config = config.guest_config;
  host.observer = observer;
  host.stop = stop;
  if (group != nullptr && group->rank() != 0) return host;
  host.output = config.output;
  host.adapters = config.adapters;
  host.checkpoint = config.checkpoint;
  host.resume = config.resume;
  host.weights = config.weights;
  host.weights_output = config.weights_output;
  host.interrupted_output = config.interrupted_output;
  return host;
}

std::vector<std::unique_ptr<abi::nn::Backend>> inference_backends(const RunConfig& config) {
  std::vector<std::unique_ptr<abi::nn::Backend>> backends;
  backends.push_back(std::make_unique<abi::nn::ModelBackend>(training::torch_backend()));
  backends.push_back(std::make_unique<GraphBackend>(config.cache_dir));
  return backends;
}

void report_inference_error(std::string_view sentence) {
  std::fprintf(stderr, "[wasmgrad] %.*s\n", static_cast<int>(sentence.size()), sentence.data());
}

}  // namespace

GuestHost::GuestHost(const RunConfig& config, training::Observer* observer, const StopToken* stop,
                     training::Collective* group)
    : training_(host_config(config, observer, stop, group)),
      inference_(std::make_unique<abi::nn::InferenceHost>(training_.context(), inference_backends(config),
                                                          report_inference_error)) {}

GuestHost::~GuestHost() = default;

std::vector<HostFunction> GuestHost::functions() {
  std::vector<HostFunction> functions = training_.functions();
  std::ranges::move(inference_->functions(), std::back_inserter(functions));
  return functions;
}

}  // namespace wasmgrad::runner
