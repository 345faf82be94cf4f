#include "wasmgrad/training/torch/kernels/batch_norm.hpp"

#include "wasmgrad/training/torch/kernels/cpu.hpp"

namespace wasmgrad::training::kernels {

namespace {

constexpr std::int64_t kBlock = 8;  ///< rows that are summed in float

/// Each body is inlined into a function for every instruction set.
#define WASMGRAD_INLINE [[gnu::always_inline]] inline

/// sums[c] += the sum over the rows of term(i, c), where i is the element of a row and the channel c.
template <class Term>
WASMGRAD_INLINE void add_rows(const Rows& rows, double* sums, Term term) noexcept {
  std::int64_t row = 0;
  for (; row + kBlock <= rows.count; row += kBlock) {
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const std::int64_t at = row * rows.channels + c, step = rows.channels;
      const float first =
          (term(at, c) + term(at + step, c)) + (term(at + 2 * step, c) + term(at + 3 * step, c));
      const float last = (term(at + 4 * step, c) + term(at + 5 * step, c)) +
                         (term(at + 6 * step, c) + term(at + 7 * step, c));
      sums[c] += static_cast<double>(first + last);
    }
  }
  for (; row < rows.count; ++row)
    for (std::int64_t c = 0; c < rows.channels; ++c)
      sums[c] += static_cast<double>(term(row * rows.channels + c, c));
}

WASMGRAD_INLINE void sums_of(const float* x, const Rows& rows, double* sums) noexcept {
  add_rows(rows, sums, [x](std::int64_t i, std::int64_t) __attribute__((always_inline)) { return x[i]; });
}

WASMGRAD_INLINE void squares_of(const float* x, const Rows& rows, const float* mean,
                                double* squares) noexcept {
  add_rows(rows, squares, [x, mean](std::int64_t i, std::int64_t c) __attribute__((always_inline)) {
    return (x[i] - mean[c]) * (x[i] - mean[c]);
  });
}

WASMGRAD_INLINE void gradients_of(const float* dy, const float* x, const Rows& rows, const float* mean,
                                  double* sums, double* dots) noexcept {
  sums_of(dy, rows, sums);
  add_rows(rows, dots, [dy, x, mean](std::int64_t i, std::int64_t c) __attribute__((always_inline)) {
    return dy[i] * (x[i] - mean[c]);
  });
}

WASMGRAD_INLINE void normal_of(const float* x, const Rows& rows, const float* mean, const float* scale,
                               const float* shift, float* __restrict y) noexcept {
  for (std::int64_t row = 0; row < rows.count; ++row)
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const std::int64_t i = row * rows.channels + c;
      y[i] = (x[i] - mean[c]) * scale[c] + shift[c];
    }
}

WASMGRAD_INLINE void backward_of(const float* dy, const float* x, const Rows& rows, const float* mean,
                                 const float* mean_dy, const float* slope, const float* scale,
                                 float* __restrict dx) noexcept {
  for (std::int64_t row = 0; row < rows.count; ++row)
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const std::int64_t i = row * rows.channels + c;
      dx[i] = (dy[i] - mean_dy[c] - (x[i] - mean[c]) * slope[c]) * scale[c];
    }
}

#if defined(__x86_64__)
#define WASMGRAD_AVX2 __attribute__((target("avx2,fma")))

WASMGRAD_AVX2 void sums_avx2(const float* x, const Rows& rows, double* sums) noexcept {
  sums_of(x, rows, sums);
}
WASMGRAD_AVX2 void squares_avx2(const float* x, const Rows& rows, const float* mean,
                                double* squares) noexcept {
  squares_of(x, rows, mean, squares);
}
WASMGRAD_AVX2 void gradients_avx2(const float* dy, const float* x, const Rows& rows, const float* mean,
                                  double* sums, double* dots) noexcept {
  gradients_of(dy, x, rows, mean, sums, dots);
}
WASMGRAD_AVX2 void normal_avx2(const float* x, const Rows& rows, const float* mean, const float* scale,
                               const float* shift, float* y) noexcept {
  normal_of(x, rows, mean, scale, shift, y);
}
WASMGRAD_AVX2 void backward_avx2(const float* dy, const float* x, const Rows& rows, const float* mean,
                                 const float* mean_dy, const float* slope, const float* scale,
                                 float* dx) noexcept {
  backward_of(dy, x, rows, mean, mean_dy, slope, scale, dx);
}
#endif

}  // namespace

#if defined(__x86_64__)
#define WASMGRAD_CHOOSE(avx2, portable, ...)    \
  if (cpu_has_avx2()) return avx2(__VA_ARGS__); \
  portable(__VA_ARGS__)
#else
#define WASMGRAD_CHOOSE(avx2, portable, ...) portable(__VA_ARGS__)
#endif

void add_sums(const float* x, const Rows& rows, double* sums) noexcept {
  WASMGRAD_CHOOSE(sums_avx2, sums_of, x, rows, sums);
}
void add_squares(const float* x, const Rows& rows, const float* mean, double* squares) noexcept {
  WASMGRAD_CHOOSE(squares_avx2, squares_of, x, rows, mean, squares);
}
void add_gradients(const float* dy, const float* x, const Rows& rows, const float* mean, double* sums,
                   double* dots) noexcept {
  WASMGRAD_CHOOSE(gradients_avx2, gradients_of, dy, x, rows, mean, sums, dots);
}
void normalize(const float* x, const Rows& rows, const float* mean, const float* scale, const float* shift,
               float* y) noexcept {
  WASMGRAD_CHOOSE(normal_avx2, normal_of, x, rows, mean, scale, shift, y);
}
void normalize_backward(const float* dy, const float* x, const Rows& rows, const float* mean,
                        const float* mean_dy, const float* slope, const float* scale, float* dx) noexcept {
  WASMGRAD_CHOOSE(backward_avx2, backward_of, dy, x, rows, mean, mean_dy, slope, scale, dx);
}

}  // namespace wasmgrad::training::kernels
