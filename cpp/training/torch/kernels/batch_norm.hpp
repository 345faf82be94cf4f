// Batch norm in training mode over rows of channels, as channels-last images are. Sums are taken in double
// over sums of eight rows: sums in float of a picture's many rows would be wrong in the fourth place, which
// deep nets make the second. No torch.
#pragma once

#include <cstdint>

namespace wasmgrad::training::kernels {

/// Rows [count, channels] of one after the other.
struct Rows {
  std::int64_t count, channels;
};

/// sums[c] += the sum over all rows of x.
void add_sums(const float* x, const Rows& rows, double* sums) noexcept;
/// squares[c] += the sum over all rows of (x - mean[c])^2.
void add_squares(const float* x, const Rows& rows, const float* mean, double* squares) noexcept;
/// sums[c] += the sum over all rows of dy, dots[c] += that of dy (x - mean[c]).
void add_gradients(const float* dy, const float* x, const Rows& rows, const float* mean, double* sums,
                   double* dots) noexcept;

/// y = (x - mean[c]) scale[c] + shift[c].
void normalize(const float* x, const Rows& rows, const float* mean, const float* scale, const float* shift,
               float* y) noexcept;
/// dx = (dy - mean_dy[c] - (x - mean[c]) slope[c]) scale[c].
void normalize_backward(const float* dy, const float* x, const Rows& rows, const float* mean,
                        const float* mean_dy, const float* slope, const float* scale, float* dx) noexcept;

}  // namespace wasmgrad::training::kernels
