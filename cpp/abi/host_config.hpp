// What the owner of a run grants one guest, where its results go, and what they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/training/backend.hpp"
#include "wasmgrad/training/collective/collective.hpp"
#include "wasmgrad/training/loop/observer.hpp"
#include "wasmgrad/training/options/overrides.hpp"

namespace wasmgrad::abi {

struct HostConfig {
  /// What trains and predicts; may be null, and models are refused then. Outlives the host.
  const training::Backend* backend = nullptr;
  Grants grants{{}};
  /// Models a guest may use by name; a path of the compatibility imports is looked up here before the
  /// preopens.
  std::map<std::string, std::filesystem::path> models;
  /// The model of guests whose import has no model argument.
  std::optional<std::filesystem::path> default_model;
  training::Overrides overrides;
  /// Host copies of guest tensors, model storages, the state of trainers, and results that wait to be read.
  std::uint64_t max_tensor_bytes = std::uint64_t{4} << 30;
  std::uint64_t max_model_file_bytes = std::uint64_t{2} << 30;
  std::uint32_t max_handles = 1024;  ///< models, datasets, trainers and the like that are open at once
  /// Where the trained model goes on the host. Absent: the guest keeps what it exported itself, and the
  /// compatibility imports write `trained_<name>` beside the model, when it came from a preopen.
  std::optional<std::filesystem::path> output;
  std::optional<std::filesystem::path> adapters;    ///< where the trained low-rank branches go
  std::optional<std::filesystem::path> checkpoint;  ///< written after every epoch and when interrupted
  std::optional<std::filesystem::path> resume;      ///< restored before the first step
  /// A safetensors file of parameters and buffers that each model has when its first trainer is made,
  /// whatever it was loaded with; and where those of the model that was trained last go.
  std::optional<std::filesystem::path> weights, weights_output;
  /// Where the model goes when the run is interrupted; `output` gets a whole training's only.
  std::optional<std::filesystem::path> interrupted_output;
  /// How trainers work together with those of other processes. The first of them has the owner's files.
  training::Replication replication;
  /// What a guest may ask for by name, and not change.
  std::map<std::string, std::string> guest_config;
  training::Observer* observer = nullptr;  ///< may be null; outlives the host
  const StopToken* stop = nullptr;         ///< may be null; outlives the host
};

/// What the guest's training calls left behind.
struct TrainingOutcome {
  training::FitReport report;
  std::vector<std::byte> model;  ///< torch.jit.save archive
};

}  // namespace wasmgrad::abi
