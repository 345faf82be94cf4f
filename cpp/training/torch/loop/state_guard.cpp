#include "wasmgrad/training/torch/loop/state_guard.hpp"

#include <c10/core/GradMode.h>

#include <algorithm>

namespace wasmgrad::training {

StateGuard::StateGuard(const lowering::WrittenState& written) {
  for (const at::Tensor& tensor : written.tensors) save(tensor);
  for (const lowering::Attribute& attribute : written.attributes) {
    c10::IValue value = attribute.object->getSlot(attribute.slot);
    if (value.isTensor()) {
      if (value.toTensor().defined()) save(value.toTensor());  // it may be written to before it is replaced
    } else if (value.isPtrType() && !value.isString()) {
      value = value.deepcopy();
    }
    slots_.push_back({attribute, std::move(value)});
  }
}

StateGuard::~StateGuard() {
  if (active_) restore();
}

void StateGuard::save(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach();
  values_.push_back({plain, plain.clone()});
}

void StateGuard::restore() noexcept {
  const c10::NoGradGuard no_grad;
  for (const Slot& slot : slots_) slot.attribute.object->setSlot(slot.attribute.slot, slot.before);
  for (const Value& value : values_) value.tensor.copy_(value.copy);
  active_ = false;
}

bool StateGuard::covers(const at::Tensor& tensor) const {
  return tensor.defined() && tensor.has_storage() && std::ranges::any_of(values_, [&](const Value& value) {
           return value.tensor.storage().is_alias_of(tensor.storage());
         });
}

}  // namespace wasmgrad::training
