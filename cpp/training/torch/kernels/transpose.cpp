// Transposition in 4x4 tiles of the compiler's generic vectors (SSE, NEON, ...), edges element by element.
#include "wasmgrad/training/torch/kernels/transpose.hpp"

#include <cstring>

namespace wasmgrad::training::kernels {
namespace {

using Float4 = float __attribute__((vector_size(16)));

Float4 load(const float* from) noexcept {
  Float4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void store(float* to, Float4 value) noexcept { std::memcpy(to, &value, sizeof value); }

void transpose_tile(const float* in, std::int64_t in_stride, float* out, std::int64_t out_stride) noexcept {
  const Float4 a = load(in);
  const Float4 b = load(in + in_stride);
  const Float4 c = load(in + 2 * in_stride);
  const Float4 d = load(in + 3 * in_stride);
  const Float4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Float4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Float4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Float4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(out, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store(out + out_stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store(out + 2 * out_stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store(out + 3 * out_stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

}  // namespace

void transpose(const float* in, std::int64_t rows, std::int64_t columns, float* out) noexcept {
  const std::int64_t whole_rows = rows / 4 * 4;
  const std::int64_t whole_columns = columns / 4 * 4;
  for (std::int64_t r = 0; r < whole_rows; r += 4)
    for (std::int64_t c = 0; c < whole_columns; c += 4)
      transpose_tile(in + r * columns + c, columns, out + c * rows + r, rows);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
      out[c * rows + r] = in[r * columns + c];
}

}  // namespace wasmgrad::training::kernels
