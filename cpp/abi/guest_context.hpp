// What all interfaces of one guest share: its owner's configuration, the gate, the quotas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/abi/budget.hpp"
#include "wasmgrad/abi/call_gate.hpp"
#include "wasmgrad/abi/handle_table.hpp"
#include "wasmgrad/abi/host_config.hpp"
#include "wasmgrad/base/status.hpp"

namespace wasmgrad::abi {

struct GuestContext {
  explicit GuestContext(HostConfig host_config)
      : config(std::move(host_config)), budget(config.max_tensor_bytes), handles(config.max_handles) {}

  /// A model that may take what is left of the budget; it is not charged yet. Errors: those of
  /// training::Backend::load(); kUnsupportedOperation without a back end.
  [[nodiscard]] Expected<std::shared_ptr<training::Model>> load_model(
      std::span<const std::byte> archive, const std::string& name,
      training::ModelEncoding encoding = training::ModelEncoding::kAutodetect) const {
    if (config.backend == nullptr) {
      return Error{Errc::kUnsupportedOperation,
                   "this host was built without a training back end: it has no models and no trainers"};
    }
    return config.backend->load(archive, name, budget.available(), encoding);
  }

  /// `error` is about a file of the owner, who is told the first such error at the end of the run. The guest
  /// gets `for_guest`, without a path of the host.
  Error owner_error(Error error, std::string for_guest) {
    const Errc code = error.code;
    if (owner_status) owner_status = std::move(error);
    return {code, std::move(for_guest)};
  }

  /// Keeps the model of an interrupted run where the owner wants it, if anywhere.
  [[nodiscard]] Status save_interrupted(std::span<const std::byte> model) const {
    if (!config.interrupted_output) return {};
    return write_file_atomic(*config.interrupted_output, model);
  }

  /// Whether the guest is to end: the owner asked to stop, and, where there are other processes, all of them
  /// know, so that none waits for this one.
  [[nodiscard]] bool stop_requested() const noexcept {
    const training::Collective* group = config.replication.group;
    if (config.replication.several()) return group->stop_agreed() || group->failure().has_value();
    return config.stop != nullptr && config.stop->requested();
  }

  /// Whether this process writes what a training leaves: where there are several, the first does.
  [[nodiscard]] bool writes_results() const noexcept {
    return config.replication.group == nullptr || config.replication.group->rank() == 0;
  }

  /// Puts the owner's weights, if there are some, into a model by its trainer; low-rank branches begin anew.
  /// Errors: those of read_safetensors() and Trainer::set_state().
  [[nodiscard]] Status set_weights(training::Trainer& trainer) const;
  /// What an error about them is about, for the owner.
  [[nodiscard]] std::string weights_name() const { return "weights '" + config.weights->string() + "'"; }

  /// Keeps the weights of a model where the owner wants them, if anywhere.
  [[nodiscard]] Status save_weights(const training::Model& model) const {
    if (!config.weights_output) return {};
    WASMGRAD_ASSIGN(const std::vector<std::byte> weights, model.save_safetensors());
    return write_file_atomic(*config.weights_output, weights);
  }

  /// The checkpoint that the owner goes on from; none: the run begins anew. Where there are several
  /// processes, all get the first one's.
  [[nodiscard]] Expected<std::optional<std::vector<std::byte>>> read_resumed() const;
  /// What an error about that checkpoint is about, for the owner.
  [[nodiscard]] std::string resumed_name() const {
    return config.resume ? "checkpoint '" + config.resume->string() + "'" : "the first process's checkpoint";
  }

  /// Errors: kInvalidArgument when the owner wants a trainer's low-rank branches, and it has none.
  [[nodiscard]] Status check_adapters(const training::TrainerOptions& options) const {
    if (!config.adapters || !options.lora.empty()) return {};
    return invalid("there will be no low-rank branches to write to '" + config.adapters->string() +
                   "'; the option lora adds them");
  }

  /// Keeps the low-rank branches where the owner wants them, if anywhere. Errors: kInvalidArgument when the
  /// model has none.
  [[nodiscard]] Status save_adapters(const training::Model& model) const {
    if (!config.adapters) return {};
    WASMGRAD_ASSIGN(const std::vector<std::byte> branches, model.save_adapters());
    return write_file_atomic(*config.adapters, branches);
  }

  const HostConfig config;
  CallGate gate;
  Budget budget;
  HandleNumbers handles;
  std::int64_t steps = 0;    ///< optimizer steps of all trainers
  std::int64_t samples = 0;  ///< whose gradients they took, each as often as it was
  std::int64_t reports = 0;  ///< figures of its own that the guest told the owner
  /// Why the guest was told to end, once it was: the owner asked to stop, or allows no more epochs.
  std::optional<std::string> stopped_at;
  bool epochs_used_up = false;
  Status owner_status;
};

}  // namespace wasmgrad::abi
