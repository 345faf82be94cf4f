// What a model's parameters and buffers are as bytes: their size, and the file of them alone.
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "wasmgrad/training/state/safetensors.hpp"
#include "wasmgrad/training/torch/dtype_map.hpp"
#include "wasmgrad/training/torch/model/adapters.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

std::uint64_t TorchModel::bytes() const {
  std::uint64_t bytes = 0;
  for (const NamedTensor& entry : storage_->tensors()) bytes += entry.tensor.nbytes();
  return bytes;
}

namespace {

Expected<std::vector<std::byte>> written(const std::vector<NamedTensor>& tensors,
                                         const std::map<std::string, std::string>& metadata) {
  std::vector<at::Tensor> kept;
  std::vector<TensorView> views;
  for (const NamedTensor& entry : tensors) {
    // Truth values have no element type of their own here.
    const bool truth = entry.tensor.scalar_type() == at::kBool;
    kept.push_back((truth ? entry.tensor.to(at::kByte) : entry.tensor).contiguous());
    const at::Tensor& tensor = kept.back();
    const auto dtype = to_dtype(tensor.scalar_type());
    if (!dtype) {
      return Error{Errc::kUnsupportedOperation, "tensor '" + entry.name + "' has the type " +
                                                    c10::toString(tensor.scalar_type()) +
                                                    ", which the format does not have here"};
    }
    WASMGRAD_ASSIGN(TensorView view,
                    TensorView::create(entry.name, *dtype, tensor.sizes().vec(),
                                       {static_cast<const std::byte*>(tensor.const_data_ptr()),
                                        static_cast<std::size_t>(tensor.nbytes())}));
    views.push_back(std::move(view));
  }
  return write_safetensors(views, metadata);
}

/// The keys of adapter_config.json that PEFT needs to rebuild the branches.
std::string peft_config(const std::vector<Adapter>& adapters) {
  using Json = nlohmann::json;
  Json ranks = Json::object(), alphas = Json::object(), modules = Json::array();
  bool transposed = true;
  for (const Adapter& adapter : adapters) {
    const std::int64_t rank = adapter.a.size(0);
    ranks[adapter.module] = rank;
    alphas[adapter.module] = adapter.scale * static_cast<double>(rank);
    modules.push_back(adapter.module);
    transposed = transposed && adapter.transposed;
  }
  const std::string& first = adapters.front().module;
  return Json{{"peft_type", "LORA"},          {"r", ranks[first]},       {"lora_alpha", alphas[first]},
              {"rank_pattern", ranks},        {"alpha_pattern", alphas}, {"target_modules", modules},
              {"fan_in_fan_out", transposed}, {"lora_dropout", 0.0},     {"bias", "none"},
              {"inference_mode", true}}
      .dump();
}

}  // namespace

Expected<std::vector<std::byte>> TorchModel::save_safetensors() const {
  return guarded("saving model '" + storage_->name + "'", [&]() -> Expected<std::vector<std::byte>> {
    const MergedWeights merged(*storage_);
    std::vector<NamedTensor> tensors = storage_->tensors();
    tensors.resize(tensors.size() - storage_->branches().size());
    return written(tensors, {});
  });
}

Expected<std::vector<std::byte>> TorchModel::save_adapters() const {
  return guarded("saving model '" + storage_->name + "'", [&]() -> Expected<std::vector<std::byte>> {
    std::vector<NamedTensor> branches = storage_->branches();
    if (branches.empty())
      return invalid("model '" + storage_->name + "' has no low-rank branches; the option lora adds them");
    for (NamedTensor& entry : branches) entry.name.insert(0, "base_model.model.");
    return written(branches, {{"format", "pt"}, {"adapter_config", peft_config(storage_->adapters)}});
  });
}

}  // namespace wasmgrad::training
