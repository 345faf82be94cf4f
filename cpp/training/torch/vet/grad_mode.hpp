// The one class that is neither a module nor a named tuple: torch.no_grad, which `with` is for. Private to
// vet/.
#pragma once

#include <string_view>

namespace wasmgrad::training::vet {

inline constexpr std::string_view kGradMode = "__torch__.torch.autograd.grad_mode";
inline constexpr std::string_view kNoGrad = "__torch__.torch.autograd.grad_mode.no_grad";

/// What torch.jit.save writes for that class, letter by letter: nothing else may call itself so.
inline constexpr std::string_view kGradModeText = R"(class no_grad:
  prev : bool
  def __enter__(self: __torch__.torch.autograd.grad_mode.no_grad) -> NoneType:
    self.prev = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    return None
  def __exit__(self: __torch__.torch.autograd.grad_mode.no_grad,
    exc_type: Any,
    exc_value: Any,
    traceback: Any) -> NoneType:
    prev = self.prev
    torch.set_grad_enabled(prev)
    return None
  def __init__(self: __torch__.torch.autograd.grad_mode.no_grad) -> NoneType:
    self.prev = False
    return None
)";

}  // namespace wasmgrad::training::vet
