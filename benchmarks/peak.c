// The attainable SIMD peak of an engine: the inner loop of a matrix multiplication, on operands that stay in
// the first-level cache, in several register tiles. It has a graph module's exports, so whatever runs
// compiled models measures it, too.
//
// Both operands come by plain 128-bit loads; `rows` of them hold one number four times, as the convolution
// kernels keep it.
#include <stdint.h>
#include <wasm_simd128.h>

#ifdef RELAXED
#define MULTIPLY_ADD(a, b, sum) wasm_f32x4_relaxed_madd(a, b, sum)
#else
#define MULTIPLY_ADD(a, b, sum) wasm_f32x4_add(sum, wasm_f32x4_mul(a, b))
#endif

#define EXPORT(name) __attribute__((export_name(#name)))

enum { kDepth = 256, kMost = 8 };

static v128_t left[kDepth * kMost], right[kDepth * kMost], result[1];

#define TILE(rows, columns)                                                                \
  static void tile_##rows##x##columns(int32_t passes) {                                    \
    v128_t sums[rows][columns] = {0};                                                      \
    for (int32_t pass = 0; pass < passes; ++pass) {                                        \
      const v128_t *a = left, *b = right;                                                  \
      for (int32_t k = 0; k < kDepth; ++k, a += rows, b += columns) {                      \
        _Pragma("unroll") for (int i = 0; i < rows; ++i) {                                 \
          _Pragma("unroll") for (int j = 0; j < columns; ++j) {                            \
            sums[i][j] = MULTIPLY_ADD(a[i], b[j], sums[i][j]);                             \
          }                                                                                \
        }                                                                                  \
      }                                                                                    \
    }                                                                                      \
    for (int i = 0; i < rows; ++i)                                                         \
      for (int j = 0; j < columns; ++j) result[0] = wasm_f32x4_add(result[0], sums[i][j]); \
  }

TILE(4, 2)
TILE(3, 3)
TILE(2, 4)
TILE(5, 2)

EXPORT(_initialize) void initialize(void) {
  for (int i = 0; i < kDepth * kMost; ++i) {
    left[i] = wasm_f32x4_splat(0.1f * (float)(i % 7));
    right[i] = wasm_f32x4_splat(0.1f * (float)(i % 5));
  }
}

EXPORT(graph_call) int32_t call(int32_t index) {
  switch (index) {
    case 0:
      tile_4x2(PASSES);
      return 0;
    case 1:
      tile_3x3(PASSES);
      return 0;
    case 2:
      tile_2x4(PASSES);
      return 0;
    case 3:
      tile_5x2(PASSES);
      return 0;
    default:
      return 1;
  }
}

EXPORT(graph_run) int32_t run(void) {
  for (int32_t index = 0; index < 4; ++index) call(index);
  return 0;
}

EXPORT(graph_input) int32_t input(int32_t index) { return (void)index, 0; }
EXPORT(graph_output) int32_t output(int32_t index) { return index == 0 ? (int32_t)(intptr_t)result : 0; }
EXPORT(graph_weights) int32_t weights(void) { return (int32_t)(intptr_t)left; }
