// The element-wise function at the end of a kernel, with its parameters as they stand in descriptors.
#pragma once

#include "wasmgrad/graph_runtime/kernels/math.hpp"

namespace wg {

struct Activation {
  enum class Kind : std::int32_t { kNone, kClip, kSigmoid, kSwish, kHardswish, kGelu, kTanh };

  Kind kind;
  float low;  // bounds, infinite for all but kClip
  float high;
};

/// Not inlined: one copy of the polynomials for all register tiles.
[[gnu::noinline]] Vector apply_function(Activation::Kind kind, Vector v);

inline Vector apply(const Activation& activation, Vector v) {
  if (activation.kind <= Activation::Kind::kClip) [[likely]] {
    return at_most(at_least(v, splat(activation.low)), splat(activation.high));
  }
  return apply_function(activation.kind, v);
}

}  // namespace wg
