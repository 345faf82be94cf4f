// The trainers of wasmgrad:training@0.1.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "wasmgrad/abi/guest_context.hpp"
#include "wasmgrad/abi/handle_table.hpp"
#include "wasmgrad/abi/v1/datasets.hpp"
#include "wasmgrad/abi/v1/held_bytes.hpp"
#include "wasmgrad/abi/v1/models.hpp"
#include "wasmgrad/abi/v1/run_record.hpp"
#include "wasmgrad/base/guest_memory.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/loop/trainer.hpp"

namespace wasmgrad::abi::v1 {

/// A trainer, with what its guest has not read yet.
class TrainerResource {
 public:
  TrainerResource(std::shared_ptr<ModelResource> model, std::unique_ptr<training::Trainer> made,
                  Budget::Charge charge, std::shared_ptr<TrainerRun> run, const StopToken* stop);
  TrainerResource(const TrainerResource&) = delete;
  TrainerResource& operator=(const TrainerResource&) = delete;
  ~TrainerResource();

  /// Before the state changes: results that show the old one are dropped.
  training::Trainer& change();

  training::Trainer& trainer;
  std::shared_ptr<TrainerRun> run;
  HeldBytes checkpoint;
  std::vector<training::Output> outputs;  ///< of the last prediction
  Budget::Charge outputs_charge;

 private:
  std::unique_ptr<training::Trainer> owned_;
  std::shared_ptr<ModelResource> model_;
  Budget::Charge charge_;
  StopToken::Polling polling_;  // the guest is told at its next call that trains
};

class Trainers {
 public:
  Trainers(GuestContext& context, Models& models, Datasets& datasets)
      : context_(context),
        models_(models),
        datasets_(datasets),
        record_(context),
        table_("trainer", context.handles) {}

  Status create(const GuestMemory& memory, std::uint32_t model, std::uint32_t options,
                std::uint32_t options_bytes, std::uint32_t trainer);
  Status fit(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t train, std::uint32_t validation,
             std::uint32_t epochs, std::uint32_t report);
  Status epoch(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t train, std::uint32_t metrics);
  Status step(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs, std::uint32_t n_inputs,
              std::uint32_t targets, std::uint32_t n_targets, std::uint32_t metrics);
  Status backward(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs,
                  std::uint32_t n_inputs, std::uint32_t targets, std::uint32_t n_targets,
                  std::uint32_t metrics);
  Status apply(const GuestMemory& memory, std::uint32_t trainer);
  Status evaluate(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t dataset,
                  std::uint32_t metrics);
  Status progress(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t progress);
  Status predict(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs,
                 std::uint32_t n_inputs, std::uint32_t outputs);
  Status output(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t index, std::uint32_t info,
                std::uint32_t buffer, std::uint32_t buffer_bytes, std::uint32_t written);
  Status set(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t key, std::uint32_t key_bytes,
             double value);
  Status parameters(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                    std::uint32_t buffer_bytes, std::uint32_t written);
  Status set_parameters(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t values,
                        std::uint32_t bytes);
  Status gradients(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                   std::uint32_t buffer_bytes, std::uint32_t written);
  Status set_gradients(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t values,
                       std::uint32_t bytes);
  Status buffers(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                 std::uint32_t buffer_bytes, std::uint32_t written);
  Status set_buffers(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t values,
                     std::uint32_t bytes);
  Status checkpoint(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t buffer,
                    std::uint32_t buffer_bytes, std::uint32_t written);
  Status restore(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t checkpoint,
                 std::uint32_t bytes);
  Status close(const GuestMemory& memory, std::uint32_t trainer);

  /// The guest has ended: saves what single steps left unsaved, and closes every trainer. The run of the one
  /// that trained last; null when none did.
  std::shared_ptr<TrainerRun> finish();

 private:
  using Batch = Expected<training::Metrics> (training::Trainer::*)(std::span<const TensorView>,
                                                                   std::span<const TensorView>);
  Status train_batch(const GuestMemory& memory, std::uint32_t trainer, std::uint32_t inputs,
                     std::uint32_t n_inputs, std::uint32_t targets, std::uint32_t n_targets,
                     std::uint32_t metrics, Batch batch);
  /// Errors are for the guest and show no path of the host.
  Status begin_with_weights(ModelResource& model, training::Trainer& trainer);
  /// Whether the guest may go on. Errors: kInterrupted, with the owner's checkpoint written.
  Status check_not_interrupted(TrainerResource& resource);
  Status interrupted(TrainerResource& resource);

  GuestContext& context_;
  Models& models_;
  Datasets& datasets_;
  RunRecord record_;
  HandleTable<TrainerResource> table_;
};

}  // namespace wasmgrad::abi::v1
