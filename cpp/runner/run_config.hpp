// One guest run as data: what the tools, Python and the worker process exchange. JSON in, JSON out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/status.hpp"
#include "wasmgrad/sandbox/engine_kind.hpp"
#include "wasmgrad/training/collective/collective.hpp"
#include "wasmgrad/training/options/overrides.hpp"

namespace wasmgrad::runner {

/// Defaults are wide enough for a guest that holds all of MNIST as f32 (405 MiB).
struct Limits {
  std::uint32_t memory_pages = 16384;                   ///< linear memory, 64 KiB each
  double wall_seconds = 0;                              ///< 0: none
  std::uint64_t tensor_bytes = std::uint64_t{4} << 30;  ///< host copies of guest tensors, and model storages
  std::uint32_t open_files = 256;                       ///< that a guest may have open at once
  std::uint32_t abi_handles = 1024;                     ///< models, datasets, trainers and the like, as well
  std::uint64_t output_bytes = std::uint64_t{1} << 30;  ///< console output, and the size of any file written
  /// How long an interrupted run may take to end by itself, before its process is ended.
  double grace_seconds = 10;
  /// What the child process may allocate in all; 0: three quarters of what the machine has to spare when it
  /// starts.
  std::uint64_t process_bytes = 0;
};

/// How this run works together with those in other processes, which the environment names
/// (training/collective/rendezvous.hpp).
struct Distributed {
  bool shard = false;              ///< each process's data is its own
  std::int64_t average_every = 1;  ///< steps between two exchanges
  training::Wire wire = training::Wire::kF32;
  double timeout_seconds = 60;  ///< of every exchange
};

enum class View : std::uint8_t { kClassic, kJson, kQuiet };

struct RunConfig {
  std::filesystem::path guest;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::vector<Preopen> dirs;
  std::map<std::string, std::filesystem::path> models;
  std::optional<std::filesystem::path> default_model;
  training::Overrides training;
  std::map<std::string, std::string> guest_config;  ///< what the guest may ask for by name
  std::optional<Distributed> distributed;           ///< absent: the run is alone
  Limits limits;
  std::optional<std::filesystem::path> output, adapters, checkpoint, resume, weights, weights_output;
  /// Where the model goes when the run is interrupted; `output` gets a whole training's only.
  std::optional<std::filesystem::path> interrupted_output;
  sandbox::EngineKind engine = sandbox::EngineKind::kWasmEdge;
  std::filesystem::path wasmtime_library;  ///< for that engine; empty: the one that the loader finds
  bool interpret = false;
  std::filesystem::path cache_dir;  ///< compiled guests; empty: none kept
  View view = View::kClassic;

  /// Errors: kInvalidArgument, naming the key, its value and what is allowed; unknown keys are errors.
  static Expected<RunConfig> from_json(std::string_view json);
  /// Sets one option of training from text: a name, a number, true or false. Ranges are judged by from_json
  /// and the trainer. Errors: kInvalidArgument, naming the option, its value and what is expected, or the
  /// known options.
  Status set_training(const std::string& key, const std::string& text);
  /// Texts are UTF-8, as check_texts() makes sure; other bytes are replaced.
  [[nodiscard]] std::string to_json() const;

  /// Errors: kInvalidArgument, naming the first text that is not UTF-8.
  [[nodiscard]] Status check_texts() const;
};

}  // namespace wasmgrad::runner
