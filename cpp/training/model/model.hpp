// A vetted model, whatever runs it: loaded from bytes that nobody needs to trust, saved back to bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/stop.hpp"

namespace wasmgrad::training {

/// What a model's bytes are.
enum class ModelEncoding : std::uint8_t {
  kAutodetect,   ///< told by the bytes
  kTorchScript,  ///< torch.jit.save
  kTorchExport,  ///< torch.export.save
};

/// What a model is loaded for.
enum class ModelUse : std::uint8_t {
  kTraining,
  /// Evaluation mode alone. A torch.export program may have any shapes, and returns all its tensors in a
  /// tuple, whatever it packs them in.
  kInference,
};

/// For a caller's own models: a guard against damage only.
constexpr std::uint64_t kOwnModelBytes = std::uint64_t{8} << 30;

class Observer;
class Predictor;
class Trainer;
struct Replication;
struct TrainerOptions;

/// Copies of what it stands for are shared: a trainer changes the model that it was made of.
class Model {
 public:
  Model() = default;
  virtual ~Model() = default;

  /// In evaluation mode as a `torch.jit.save` archive that PyTorch, and Backend::load(), read back, whichever
  /// encoding it came in: it was read back before it is returned. Names that TorchScript cannot carry are
  /// others there; load() restores them. Errors: kUnsupportedOperation when it cannot be read back.
  [[nodiscard]] virtual Expected<std::vector<std::byte>> save() const = 0;

  /// The parameters and buffers under their names, as a safetensors file.
  [[nodiscard]] virtual Expected<std::vector<std::byte>> save_safetensors() const = 0;

  /// The low-rank branches that a trainer with `lora` gave the model, which save() and save_safetensors()
  /// merge into its weights: the safetensors file that PEFT calls adapter_model.safetensors. Its metadata
  /// holds PEFT's adapter_config.json under "adapter_config". Errors: kInvalidArgument when the model has
  /// none.
  [[nodiscard]] virtual Expected<std::vector<std::byte>> save_adapters() const = 0;

  /// The names of the low-rank branches' tensors, as a trainer's state() has them.
  [[nodiscard]] virtual std::vector<std::string> branches() const = 0;

  /// Parts of the file that cannot switch between training and evaluation, a sentence each.
  [[nodiscard]] virtual const std::vector<std::string>& warnings() const noexcept = 0;

  /// Size of all parameters and buffers.
  [[nodiscard]] virtual std::uint64_t bytes() const = 0;
  /// Trainable scalars.
  [[nodiscard]] virtual std::int64_t parameter_count() const = 0;

  /// Errors: those of validate(); kInvalidArgument when the model has no trainable parameter, one is not f32,
  /// a `freeze` pattern matches nothing, or all are frozen. What the model's file cannot do is told as
  /// on_warning(). `observer` and `stop` may be null and must outlive the trainer. A model has at most one
  /// trainer at a time.
  [[nodiscard]] virtual Expected<std::unique_ptr<Trainer>> trainer(TrainerOptions options, Observer* observer,
                                                                   const StopToken* stop,
                                                                   const Replication& replication) const = 0;

  /// Errors: kUnsupportedOperation when `forward` needs an argument that is not a tensor.
  [[nodiscard]] virtual Expected<std::unique_ptr<Predictor>> predictor() const = 0;

 protected:
  Model(const Model&) = default;
  Model(Model&&) = default;
  Model& operator=(const Model&) = default;
  Model& operator=(Model&&) = default;
};

}  // namespace wasmgrad::training
