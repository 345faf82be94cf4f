#include "wasmgrad/training/torch/backend.hpp"

#include <utility>

#include "wasmgrad/training/torch/model/torch_model.hpp"

namespace wasmgrad::training {

namespace {

class TorchBackend final : public Backend {
 public:
  [[nodiscard]] Expected<std::shared_ptr<Model>> load(std::span<const std::byte> archive,
                                                      const std::string& name, std::uint64_t max_bytes,
                                                      ModelEncoding encoding) const override {
    WASMGRAD_ASSIGN(TorchModel model, TorchModel::load(archive, name, max_bytes, encoding));
    return std::shared_ptr<Model>(std::make_shared<TorchModel>(std::move(model)));
  }
};

}  // namespace

const Backend& torch_backend() {
  static const TorchBackend backend;
  return backend;
}

}  // namespace wasmgrad::training
