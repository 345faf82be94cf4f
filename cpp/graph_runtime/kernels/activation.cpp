// The functions behind fused activations.
#include "wasmgrad/graph_runtime/kernels/activation.hpp"

namespace wg {

Vector apply_function(Activation::Kind kind, Vector v) {
  switch (kind) {
    case Activation::Kind::kSigmoid:
      return sigmoid(v);
    case Activation::Kind::kSwish:
      return swish(v);
    case Activation::Kind::kHardswish:
      return hardswish(v);
    case Activation::Kind::kGelu:
      return gelu(v);
    case Activation::Kind::kTanh:
      return tanh(v);
    default:
      return v;
  }
}

}  // namespace wg
