// What a model's parameters and buffers are as bytes: their size, and the file of them alone.

#include "wasmgrad/training/state/safetensors.hpp"
#include "wasmgrad/training/torch/dtype_map.hpp"
#include "wasmgrad/training/torch/model/model_storage.hpp"
#include "wasmgrad/training/torch/model/torch_model.hpp"
#include "wasmgrad/training/torch/torch_error.hpp"

namespace wasmgrad::training {

std::uint64_t TorchModel::bytes() const {
  std::uint64_t bytes = 0;
  for (const NamedTensor& entry : storage_->tensors()) bytes += entry.tensor.nbytes();
  return bytes;
}

Expected<std::vector<std::byte>> TorchModel::save_safetensors() const {
  return guarded("saving model '" + storage_->name + "'", [&]() -> Expected<std::vector<std::byte>> {
    std::vector<at::Tensor> kept;
    std::vector<TensorView> views;
    for (const NamedTensor& entry : storage_->tensors()) {
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
    return write_safetensors(views, {});
  });
}

}  // namespace wasmgrad::training
