// Batch norm in training mode over rows of channels, as channels-last images are. Sums are taken in double
// over sums of eight rows: sums in float of a picture's many rows would be wrong in the fourth place, which
// deep nets make the second. No torch.
#pragma once

#include <cstdint>

#include "wasmgrad/training/torch/kernels/bf16.hpp"

namespace wasmgrad::training::kernels {

/// Rows [count, channels] of one after the other.
struct Rows {
  std::int64_t count, channels;
};

// Elements are float or Bf16.

/// Which gradients a clamp lets through: those of elements of its result y above 0 and below `upper`, and of
/// NaN. All of them where y is null.
template <class Element>
struct Passed {
  const Element* y;
  float upper;
};

/// sums[c] += the sum over all rows of x.
template <class Element>
void add_sums(const Element* x, const Rows& rows, double* sums) noexcept;
/// squares[c] += the sum over all rows of (x - mean[c])^2.
template <class Element>
void add_squares(const Element* x, const Rows& rows, const float* mean, double* squares) noexcept;
/// sums[c] += the sum over all rows of dy, dots[c] += that of dy (x - mean[c]); of those alone that `passed`.
template <class Element>
void add_gradients(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                   const Passed<Element>& passed, double* sums, double* dots) noexcept;

/// What follows a norm in the same pass: first `residual` is added, unless it is null; then, if `clamped`,
/// what is below 0 becomes 0 and what is above `upper` that.
template <class Element>
struct Ending {
  const Element* residual;
  bool clamped;
  float upper;
};

/// y = (x - mean[c]) scale[c] + shift[c], and its ending.
template <class Element>
void normalize(const Element* x, const Rows& rows, const float* mean, const float* scale, const float* shift,
               const Ending<Element>& ending, Element* y) noexcept;
/// dx = (dy - mean_dy[c] - (x - mean[c]) slope[c]) scale[c], where dy that did not pass is 0.
template <class Element>
void normalize_backward(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                        const float* mean_dy, const float* slope, const float* scale,
                        const Passed<Element>& passed, Element* dx) noexcept;
/// g = dy, or 0 where it did not pass.
template <class Element>
void pass_gradients(const Element* dy, const Passed<Element>& passed, std::int64_t count,
                    Element* g) noexcept;

}  // namespace wasmgrad::training::kernels
