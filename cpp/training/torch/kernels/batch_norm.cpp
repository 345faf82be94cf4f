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

template <class Element>
WASMGRAD_INLINE void sums_of(const Element* x, const Rows& rows, double* sums) noexcept {
  add_rows(rows, sums,
           [x](std::int64_t i, std::int64_t) __attribute__((always_inline)) { return load(x[i]); });
}

template <class Element>
WASMGRAD_INLINE void squares_of(const Element* x, const Rows& rows, const float* mean,
                                double* squares) noexcept {
  add_rows(rows, squares, [x, mean](std::int64_t i, std::int64_t c) __attribute__((always_inline)) {
    return (load(x[i]) - mean[c]) * (load(x[i]) - mean[c]);
  });
}

/// dy of an element, as far as it passed, without a branch.
template <bool kClamped, class Element>
WASMGRAD_INLINE float gradient(Element dy, const Element* y, float upper, std::int64_t i) noexcept {
  const float given = load(dy);
  if constexpr (!kClamped) return given;
  const float result = load(y[i]);
  const bool blocked = static_cast<bool>(static_cast<int>(result <= 0) | static_cast<int>(result >= upper));
  return blocked ? 0.0F : given;
}

template <bool kClamped, class Element>
WASMGRAD_INLINE void gradients_as(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                                  const Element* y, float upper, double* sums, double* dots) noexcept {
  add_rows(rows, sums, [dy, y, upper](std::int64_t i, std::int64_t) __attribute__((always_inline)) {
    return gradient<kClamped>(dy[i], y, upper, i);
  });
  add_rows(rows, dots,
           [dy, x, mean, y, upper](std::int64_t i, std::int64_t c) __attribute__((always_inline)) {
             return gradient<kClamped>(dy[i], y, upper, i) * (load(x[i]) - mean[c]);
           });
}

template <class Element>
WASMGRAD_INLINE void gradients_of(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                                  const Passed<Element>& passed, double* sums, double* dots) noexcept {
  if (passed.y != nullptr) return gradients_as<true>(dy, x, rows, mean, passed.y, passed.upper, sums, dots);
  gradients_as<false>(dy, x, rows, mean, passed.y, passed.upper, sums, dots);
}

template <bool kResidual, bool kClamped, class Element>
WASMGRAD_INLINE void normal_as(const Element* x, const Rows& rows, const float* mean, const float* scale,
                               const float* shift, const Element* residual, float upper,
                               Element* __restrict y) noexcept {
  for (std::int64_t row = 0; row < rows.count; ++row)
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const std::int64_t i = row * rows.channels + c;
      float value = (load(x[i]) - mean[c]) * scale[c] + shift[c];
      if constexpr (kResidual) value += load(residual[i]);
      if constexpr (kClamped) {
        value = value < 0 ? 0 : value;  // NaN stays
        value = value > upper ? upper : value;
      }
      store(value, y[i]);
    }
}

template <class Element>
WASMGRAD_INLINE void normal_of(const Element* x, const Rows& rows, const float* mean, const float* scale,
                               const float* shift, const Ending<Element>& ending, Element* y) noexcept {
  if (ending.residual != nullptr && ending.clamped) {
    normal_as<true, true>(x, rows, mean, scale, shift, ending.residual, ending.upper, y);
  } else if (ending.residual != nullptr) {
    normal_as<true, false>(x, rows, mean, scale, shift, ending.residual, ending.upper, y);
  } else if (ending.clamped) {
    normal_as<false, true>(x, rows, mean, scale, shift, ending.residual, ending.upper, y);
  } else {
    normal_as<false, false>(x, rows, mean, scale, shift, ending.residual, ending.upper, y);
  }
}

template <bool kClamped, class Element>
WASMGRAD_INLINE void backward_as(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                                 const float* mean_dy, const float* slope, const float* scale,
                                 const Element* y, float upper, Element* __restrict dx) noexcept {
  for (std::int64_t row = 0; row < rows.count; ++row)
    for (std::int64_t c = 0; c < rows.channels; ++c) {
      const std::int64_t i = row * rows.channels + c;
      const float given = gradient<kClamped>(dy[i], y, upper, i);
      store((given - mean_dy[c] - (load(x[i]) - mean[c]) * slope[c]) * scale[c], dx[i]);
    }
}

template <class Element>
WASMGRAD_INLINE void backward_of(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                                 const float* mean_dy, const float* slope, const float* scale,
                                 const Passed<Element>& passed, Element* dx) noexcept {
  if (passed.y != nullptr)
    return backward_as<true>(dy, x, rows, mean, mean_dy, slope, scale, passed.y, passed.upper, dx);
  backward_as<false>(dy, x, rows, mean, mean_dy, slope, scale, passed.y, passed.upper, dx);
}

template <class Element>
WASMGRAD_INLINE void pass_of(const Element* dy, const Passed<Element>& passed, std::int64_t count,
                             Element* __restrict g) noexcept {
  const Element* y = passed.y;
  const float upper = passed.upper;
  for (std::int64_t i = 0; i < count; ++i) store(gradient<true>(dy[i], y, upper, i), g[i]);
}

#if defined(__x86_64__)
/// Each of the bodies, compiled for an instruction set.
#define WASMGRAD_VARIANTS(suffix, features)                                                              \
  template <class Element>                                                                               \
  __attribute__((target(features))) void sums_##suffix(const Element* x, const Rows& rows,               \
                                                       double* sums) noexcept {                          \
    sums_of(x, rows, sums);                                                                              \
  }                                                                                                      \
  template <class Element>                                                                               \
  __attribute__((target(features))) void squares_##suffix(const Element* x, const Rows& rows,            \
                                                          const float* mean, double* squares) noexcept { \
    squares_of(x, rows, mean, squares);                                                                  \
  }                                                                                                      \
  template <class Element>                                                                               \
  __attribute__((target(features))) void gradients_##suffix(                                             \
      const Element* dy, const Element* x, const Rows& rows, const float* mean,                          \
      const Passed<Element>& passed, double* sums, double* dots) noexcept {                              \
    gradients_of(dy, x, rows, mean, passed, sums, dots);                                                 \
  }                                                                                                      \
  template <class Element>                                                                               \
  __attribute__((target(features))) void normal_##suffix(                                                \
      const Element* x, const Rows& rows, const float* mean, const float* scale, const float* shift,     \
      const Ending<Element>& ending, Element* y) noexcept {                                              \
    normal_of(x, rows, mean, scale, shift, ending, y);                                                   \
  }                                                                                                      \
  template <class Element>                                                                               \
  __attribute__((target(features))) void backward_##suffix(                                              \
      const Element* dy, const Element* x, const Rows& rows, const float* mean, const float* mean_dy,    \
      const float* slope, const float* scale, const Passed<Element>& passed, Element* dx) noexcept {     \
    backward_of(dy, x, rows, mean, mean_dy, slope, scale, passed, dx);                                   \
  }                                                                                                      \
  template <class Element>                                                                               \
  __attribute__((target(features))) void pass_##suffix(const Element* dy, const Passed<Element>& passed, \
                                                       std::int64_t count, Element* g) noexcept {        \
    pass_of(dy, passed, count, g);                                                                       \
  }
WASMGRAD_VARIANTS(avx2, "avx2,fma")
WASMGRAD_VARIANTS(avx512, "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")
#endif

}  // namespace

#if defined(__x86_64__)
#define WASMGRAD_CHOOSE(body, ...)                         \
  if (cpu_has_avx512()) return body##_avx512(__VA_ARGS__); \
  if (cpu_has_avx2()) return body##_avx2(__VA_ARGS__);     \
  body##_of(__VA_ARGS__)
#else
#define WASMGRAD_CHOOSE(body, ...) body##_of(__VA_ARGS__)
#endif

template <class Element>
void add_sums(const Element* x, const Rows& rows, double* sums) noexcept {
  WASMGRAD_CHOOSE(sums, x, rows, sums);
}
template <class Element>
void add_squares(const Element* x, const Rows& rows, const float* mean, double* squares) noexcept {
  WASMGRAD_CHOOSE(squares, x, rows, mean, squares);
}
template <class Element>
void add_gradients(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                   const Passed<Element>& passed, double* sums, double* dots) noexcept {
  WASMGRAD_CHOOSE(gradients, dy, x, rows, mean, passed, sums, dots);
}
template <class Element>
void normalize(const Element* x, const Rows& rows, const float* mean, const float* scale, const float* shift,
               const Ending<Element>& ending, Element* y) noexcept {
  WASMGRAD_CHOOSE(normal, x, rows, mean, scale, shift, ending, y);
}
template <class Element>
void normalize_backward(const Element* dy, const Element* x, const Rows& rows, const float* mean,
                        const float* mean_dy, const float* slope, const float* scale,
                        const Passed<Element>& passed, Element* dx) noexcept {
  WASMGRAD_CHOOSE(backward, dy, x, rows, mean, mean_dy, slope, scale, passed, dx);
}
template <class Element>
void pass_gradients(const Element* dy, const Passed<Element>& passed, std::int64_t count,
                    Element* g) noexcept {
  WASMGRAD_CHOOSE(pass, dy, passed, count, g);
}

// NOLINTBEGIN(bugprone-macro-parentheses): a type takes none
#define WASMGRAD_INSTANTIATE(Element)                                                                       \
  template void add_sums(const Element*, const Rows&, double*) noexcept;                                    \
  template void add_squares(const Element*, const Rows&, const float*, double*) noexcept;                   \
  template void add_gradients(const Element*, const Element*, const Rows&, const float*,                    \
                              const Passed<Element>&, double*, double*) noexcept;                           \
  template void normalize(const Element*, const Rows&, const float*, const float*, const float*,            \
                          const Ending<Element>&, Element*) noexcept;                                       \
  template void normalize_backward(const Element*, const Element*, const Rows&, const float*, const float*, \
                                   const float*, const float*, const Passed<Element>&, Element*) noexcept;  \
  template void pass_gradients(const Element*, const Passed<Element>&, std::int64_t, Element*) noexcept;
// NOLINTEND(bugprone-macro-parentheses)
WASMGRAD_INSTANTIATE(float)
WASMGRAD_INSTANTIATE(Bf16)

}  // namespace wasmgrad::training::kernels
