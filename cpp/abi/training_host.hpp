// The training host as guests see it: which data, models and directories one sandbox may use, and what its
// calls produce.
//
// Engine-neutral: it sees guest memory, scalars and grants. functions() lists the imports to register with
// any engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/host_function.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/observer.hpp"
#include "wasmgrad/training/overrides.hpp"

namespace wasmgrad::abi {

struct HostConfig {
  Grants grants{{}};
  /// Models a guest may use by name; a name is looked up before the preopens.
  std::map<std::string, std::filesystem::path> models;
  /// The model of guests whose import has no model argument.
  std::optional<std::filesystem::path> default_model;
  training::Overrides overrides;
  std::uint64_t max_tensor_bytes = std::uint64_t{4}
                                   << 30;  ///< host copies of guest tensors, and model storages
  std::uint64_t max_model_file_bytes = std::uint64_t{2} << 30;
  /// Where the trained model goes on the host. Absent: `trained_<name>` beside the model, when it came from a
  /// preopen.
  std::optional<std::filesystem::path> output;
  std::optional<std::filesystem::path> checkpoint;  ///< written after every epoch and when interrupted
  std::optional<std::filesystem::path> resume;      ///< restored before the first step
  training::Observer* observer = nullptr;           ///< may be null; outlives the host
  const StopToken* stop = nullptr;                  ///< may be null; outlives the host
};

/// What the guest's training calls left behind.
struct TrainingOutcome {
  training::FitReport report;
  std::vector<std::byte> model;  ///< torch.jit.save archive
};

class TrainingHost {
 public:
  explicit TrainingHost(HostConfig config);

  /// `wasmedge-nn-training.train` (11 arguments) and `naive-math.train` (9). They refer to this host, which
  /// must outlive them.
  [[nodiscard]] std::vector<HostFunction> functions();

  /// The last completed training, if the guest trained.
  [[nodiscard]] const std::optional<TrainingOutcome>& outcome() const noexcept { return outcome_; }

 private:
  friend class TrainCall;
  HostConfig config_;
  std::optional<TrainingOutcome> outcome_;
};

}  // namespace wasmgrad::abi
