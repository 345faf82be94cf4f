// A vetted model: loaded from bytes that nobody needs to trust, saved back to bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"

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
  /// Evaluation mode alone. A torch.export program may have any shapes, and returns all its tensors in a tuple,
  /// whatever it packs them in.
  kInference,
};

/// For a caller's own models: a guard against damage only.
constexpr std::uint64_t kOwnModelBytes = std::uint64_t{8} << 30;

class Model {
 public:
  /// Vets and loads a `torch.jit.save` archive (vet/vet.hpp), or checks and builds a `torch.export.save` one
  /// (exported/load.hpp). `name` is used in errors only. Errors: kInvalidEncoding when it is not an archive
  /// of that encoding or is damaged, kSecurity when the vetting refuses it (the operator or construct is
  /// named), kInvalidArgument when it has no `forward`, kTooLarge beyond `max_bytes` of parameters and
  /// buffers.
  static Expected<Model> load(std::span<const std::byte> archive, const std::string& name,
                              std::uint64_t max_bytes, ModelEncoding encoding = ModelEncoding::kAutodetect,
                              ModelUse use = ModelUse::kTraining);

  /// The model in evaluation mode as a `torch.jit.save` archive that PyTorch, and load(), read back,
  /// whichever encoding it came in: it was read back before it is returned. Names that TorchScript cannot
  /// carry are others there; load() restores them. Errors: kUnsupportedOperation when it cannot be read back.
  [[nodiscard]] Expected<std::vector<std::byte>> save() const;

  /// The parameters and buffers under their names, as a safetensors file.
  [[nodiscard]] Expected<std::vector<std::byte>> save_safetensors() const;

  /// What of the file cannot follow a run's mode, a sentence each.
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept;

  /// Of all parameters and buffers.
  [[nodiscard]] std::uint64_t bytes() const;
  /// Trainable scalars.
  [[nodiscard]] std::int64_t parameter_count() const;

  struct Storage;  // the torch module; model_storage.hpp, for training/ only
  [[nodiscard]] Storage& storage() const noexcept { return *storage_; }

 private:
  explicit Model(std::shared_ptr<Storage> storage) : storage_(std::move(storage)) {}
  std::shared_ptr<Storage> storage_;
};

}  // namespace wasmgrad::training
