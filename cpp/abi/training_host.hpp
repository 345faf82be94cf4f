// The training host as guests see it: which data, models and directories one sandbox may use, and what its
// calls produce.
//
// Engine-neutral: it sees guest memory, scalars and grants. functions() lists the imports to register with
// any engine.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/abi/host_config.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/loop/observer.hpp"

namespace wasmgrad::abi {

struct GuestContext;
namespace v1 {
class Session;
}

class TrainingHost {
 public:
  explicit TrainingHost(HostConfig config);
  ~TrainingHost();

  /// `wasmedge-nn-training.train` (11 arguments), `naive-math.train` (9), and those of
  /// `wasmgrad:training@0.1`. They refer to this host, which must outlive them.
  [[nodiscard]] std::vector<HostFunction> functions();

  /// To be called when the guest has ended, however it did: writes what the owner asked for and a guest that
  /// drives its own training could not have said was due (the model, a checkpoint of single steps). Errors:
  /// what went wrong on the owner's side during the run or now (a checkpoint that could not be written, ...).
  Status finish();

  /// Where the training stood when the guest was told to end because the owner asked to stop: the run was
  /// interrupted, however the guest ended then.
  [[nodiscard]] std::optional<std::string> interrupted() const;

  /// Whether a guest was told that the owner allows no more epochs: it may end with the code of an
  /// interrupted one, and has done what was wanted.
  [[nodiscard]] bool epochs_used_up() const noexcept;

  /// The last completed training, if the guest trained: of the compatibility imports, or, after finish(), of
  /// the trainer that trained last.
  [[nodiscard]] const std::optional<TrainingOutcome>& outcome() const noexcept { return outcome_; }

  /// For other interfaces of the same guest: one gate, one budget, one count of handles.
  [[nodiscard]] GuestContext& context() noexcept { return *context_; }

  /// What the guest used so far, as far as the host knows: all but its own memory and time.
  [[nodiscard]] training::Usage usage() const;

 private:
  std::unique_ptr<GuestContext> context_;
  std::unique_ptr<v1::Session> session_;
  std::optional<TrainingOutcome> outcome_;
};

}  // namespace wasmgrad::abi
