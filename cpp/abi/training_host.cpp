#include "wasmgrad/abi/training_host.hpp"

#include <string>
#include <utility>

#include "wasmgrad/abi/compat/arguments.hpp"
#include "wasmgrad/abi/compat/layout.hpp"
#include "wasmgrad/abi/compat/train_call.hpp"
#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/abi/v1/session.hpp"
#include "wasmgrad/training/model/model.hpp"

namespace wasmgrad::abi {

TrainingHost::TrainingHost(HostConfig config)
    : context_(std::make_unique<GuestContext>(std::move(config))),
      session_(std::make_unique<v1::Session>(*context_)) {}

TrainingHost::~TrainingHost() = default;

std::vector<HostFunction> TrainingHost::functions() {
  const auto train = [this](const char* module, bool has_model_path) {
    HostFunction function;
    function.module = module;
    function.name = compat::kTrain;
    function.parameters = train_parameters(has_model_path);
    function.call = [this, has_model_path](GuestMemory memory, std::span<const Value> values,
                                           std::span<Value>) -> Status {
      const Status status = context_->gate.run(
          [&] { return train_call(*context_, outcome_, memory, train_arguments(values, has_model_path)); });
      return status ? status : Status(status.error().within(compat::kTrain));
    };
    return function;
  };
  std::vector<HostFunction> functions = session_->functions();
  functions.push_back(train(compat::kModule, true));
  functions.push_back(train(compat::kPathlessModule, false));
  return functions;
}

Status TrainingHost::finish() {
  const auto finish = [&]() -> Status {
    const auto run = session_->finish();
    if (run == nullptr) return {};
    WASMGRAD_ASSIGN(std::vector<std::byte> archive, run->model->save());
    outcome_ = TrainingOutcome{std::move(run->report), std::move(archive)};
    const auto& output = context_->config.output;
    const training::Collective* group = context_->config.replication.group;
    const bool lost = group != nullptr && group->failure();
    if (context_->stopped_at || lost) return context_->save_interrupted(outcome_->model);
    WASMGRAD_CHECK(context_->save_adapters(*run->model));
    WASMGRAD_CHECK(context_->save_weights(*run->model));
    if (!output) return {};
    WASMGRAD_CHECK(write_file_atomic(*output, outcome_->model));
    training::Observer* observer = context_->config.observer;
    if (observer != nullptr) observer->on_model_saved(output->native(), outcome_->model.size());
    return {};
  };
  const Status finished = context_->gate.run(finish);
  return context_->owner_status ? finished : context_->owner_status;
}

std::optional<std::string> TrainingHost::interrupted() const {
  if (!context_->stopped_at) return std::nullopt;
  return "the run was interrupted after " + *context_->stopped_at;
}

bool TrainingHost::epochs_used_up() const noexcept { return context_->epochs_used_up; }

training::Usage TrainingHost::usage() const {
  training::Usage usage;
  usage.host_bytes = context_->budget.peak();
  usage.host_calls = context_->gate.calls();
  usage.host_seconds = context_->gate.seconds();
  usage.steps = context_->steps;
  usage.samples = context_->samples;
  return usage;
}

}  // namespace wasmgrad::abi
