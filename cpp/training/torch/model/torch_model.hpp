// Models on libtorch. Public header without torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/training/model/model.hpp"

namespace wasmgrad::training {

class TorchModel final : public Model {
 public:
  /// Vets and loads a `torch.jit.save` archive (vet/vet.hpp), or checks and builds a `torch.export.save` one
  /// (pt2/load.hpp). As Backend::load().
  static Expected<TorchModel> load(std::span<const std::byte> archive, const std::string& name,
                                   std::uint64_t max_bytes,
                                   ModelEncoding encoding = ModelEncoding::kAutodetect,
                                   ModelUse use = ModelUse::kTraining);

  [[nodiscard]] Expected<std::vector<std::byte>> save() const override;
  [[nodiscard]] Expected<std::vector<std::byte>> save_safetensors() const override;
  [[nodiscard]] Expected<std::vector<std::byte>> save_adapters() const override;
  [[nodiscard]] std::vector<std::string> branches() const override;
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept override;
  [[nodiscard]] std::uint64_t bytes() const override;
  [[nodiscard]] std::int64_t parameter_count() const override;
  [[nodiscard]] Expected<std::unique_ptr<Trainer>> trainer(TrainerOptions options, Observer* observer,
                                                           const StopToken* stop,
                                                           const Replication& replication) const override;
  [[nodiscard]] Expected<std::unique_ptr<Predictor>> predictor() const override;

  struct Storage;  // the torch module; model_storage.hpp, for training/torch/ only
  [[nodiscard]] Storage& storage() const noexcept { return *storage_; }

 private:
  explicit TorchModel(std::shared_ptr<Storage> storage) : storage_(std::move(storage)) {}
  std::shared_ptr<Storage> storage_;
};

}  // namespace wasmgrad::training
