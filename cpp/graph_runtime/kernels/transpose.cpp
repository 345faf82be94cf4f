// [batch, rows, columns, inner] to [batch, columns, rows, inner], single floats in squares of four.
#include <cstdint>

#include "wasmgrad/graph_runtime/kernels/simd.hpp"

namespace wg {
namespace {

constexpr int kSquare = 4;
constexpr int kRowsAtATime = 64;  // the lines that four columns of them touch stay in L1

typedef float Quad __attribute__((vector_size(16)));

Quad load_quad(const float* p) {
  Quad v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

void store_quad(float* p, Quad v) { std::memcpy(p, &v, sizeof v); }

void transpose_square(const float* x, std::int32_t x_stride, float* y, std::int32_t y_stride) {
  const Quad a = load_quad(x), b = load_quad(x + x_stride), c = load_quad(x + 2 * x_stride),
             d = load_quad(x + 3 * x_stride);
  const Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
             ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
             cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store_quad(y, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store_quad(y + y_stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store_quad(y + 2 * y_stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store_quad(y + 3 * y_stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

void transpose_scalar(const float* x, std::int32_t x_stride, float* y, std::int32_t y_stride, int rows,
                      int columns) {
  for (int j = 0; j < columns; ++j) {
    for (int i = 0; i < rows; ++i) y[j * y_stride + i] = x[i * x_stride + j];
  }
}

// `rows` rows of a matrix with row stride `columns`, to columns of one with row stride `y_stride`.
void transpose_rows(const float* x, int rows, int columns, float* y, std::int32_t y_stride) {
  const int whole_rows = rows / kSquare * kSquare;
  const int whole_columns = columns / kSquare * kSquare;
  for (int j = 0; j < whole_columns; j += kSquare) {
    for (int i = 0; i < whole_rows; i += kSquare) {
      transpose_square(x + i * columns + j, columns, y + j * y_stride + i, y_stride);
    }
  }
  transpose_scalar(x + whole_columns, columns, y + whole_columns * y_stride, y_stride, rows,
                   columns - whole_columns);
  transpose_scalar(x + whole_rows * columns, columns, y + whole_rows, y_stride, rows - whole_rows,
                   whole_columns);
}

// Runs of `inner` floats.
void transpose_runs(const float* x, int rows, int columns, std::int32_t inner, float* y) {
  for (int j = 0; j < columns; ++j) {
    const float* from = x + j * inner;
    for (int i = 0; i < rows; ++i, from += columns * inner, y += inner) copy(y, from, inner);
  }
}

}  // namespace
}  // namespace wg

extern "C" int wg_transpose(const std::int32_t* descriptor, const float* x, float* y, void* /*scratch*/) {
  const std::int32_t batch = descriptor[0], rows = descriptor[1], columns = descriptor[2];
  const std::int32_t inner = descriptor[3];
  for (int b = 0; b < batch; ++b) {
    const float* from = x + b * rows * columns * inner;
    float* to = y + b * rows * columns * inner;
    if (inner > 1) {
      wg::transpose_runs(from, rows, columns, inner, to);
      continue;
    }
    for (int i = 0; i < rows; i += wg::kRowsAtATime) {
      const int count = rows - i < wg::kRowsAtATime ? rows - i : wg::kRowsAtATime;
      wg::transpose_rows(from + i * columns, count, columns, to + i, rows);
    }
  }
  return 0;
}
