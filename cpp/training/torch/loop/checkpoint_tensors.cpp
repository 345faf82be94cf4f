#include "wasmgrad/training/torch/loop/checkpoint_tensors.hpp"

#include <c10/core/GradMode.h>

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/training/torch/dtype_map.hpp"

namespace wasmgrad::training {

namespace {

at::Tensor stored_form(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().contiguous();
  return dense.scalar_type() == at::kBool ? dense.view(at::kByte) : dense;
}

}  // namespace

Expected<StoredTensors> StoredTensors::create(const std::vector<NamedTensor>& tensors) {
  StoredTensors stored;
  for (const NamedTensor& entry : tensors) {
    stored.kept_.push_back(stored_form(entry.tensor));
    const at::Tensor& kept = stored.kept_.back();
    const auto dtype = to_dtype(kept.scalar_type());
    if (!dtype) {
      return Error{Errc::kUnsupportedOperation, "checkpoint: tensor '" + entry.name + "' is of type " +
                                                    std::string(kept.dtype().name()) +
                                                    ", which a checkpoint cannot hold"};
    }
    const auto* data = static_cast<const std::byte*>(kept.const_data_ptr());
    WASMGRAD_ASSIGN(TensorView view,
                    TensorView::create(entry.name, *dtype, kept.sizes().vec(), {data, kept.nbytes()}));
    stored.views_.push_back(std::move(view));
  }
  return stored;
}

Status load_tensors(const Checkpoint& checkpoint, const std::vector<NamedTensor>& tensors) {
  WASMGRAD_ASSIGN(const StoredTensors ours, StoredTensors::create(tensors));
  WASMGRAD_CHECK(check_tensors(checkpoint, ours.views()));
  std::map<std::string_view, const TensorView*> found;
  for (const TensorView& view : checkpoint.file.tensors) found.emplace(view.name(), &view);
  const c10::NoGradGuard no_grad;
  for (const NamedTensor& entry : tensors) {
    const TensorView& view = *found.at(entry.name);
    at::Tensor target = entry.tensor.detach();
    at::Tensor dense = target.is_contiguous() ? target : target.contiguous();
    if (!view.data().empty()) std::memcpy(dense.mutable_data_ptr(), view.data().data(), view.data().size());
    if (!target.is_contiguous()) target.copy_(dense);
  }
  return {};
}

}  // namespace wasmgrad::training
