// A vetted TorchScript model: loaded from bytes that nobody needs to trust, saved back to bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training {

class Model {
 public:
  /// Vets (vet/vet.hpp), then loads a `torch.jit.save` archive. `name` is used in errors only.
  /// Errors: kInvalidEncoding when it is not an archive or is damaged, kSecurity when the vetting refuses it
  /// (the operator or construct is named), kInvalidArgument when it has no `forward`, kTooLarge beyond
  /// `max_bytes` of parameters and buffers.
  static Expected<Model> load(std::span<const std::byte> archive, const std::string& name,
                              std::uint64_t max_bytes);

  /// The model in evaluation mode as a `torch.jit.save` archive that PyTorch, and load(), read back.
  [[nodiscard]] Expected<std::vector<std::byte>> save() const;

  /// Trainable scalars.
  [[nodiscard]] std::int64_t parameter_count() const;

  struct Storage;  // the torch module; model_storage.hpp, for training/ only
  [[nodiscard]] Storage& storage() const noexcept { return *storage_; }

 private:
  explicit Model(std::shared_ptr<Storage> storage) : storage_(std::move(storage)) {}
  std::shared_ptr<Storage> storage_;
};

}  // namespace wasmgrad::training
