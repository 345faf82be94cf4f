// Product of matrices of 8-bit integers; a right-hand side that is not constant is packed on the way.
#include "wasmgrad/graph_runtime/kernels/quantized_gemm.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

struct MatMulQuantized {
  std::int32_t batch;
  std::int32_t m;
  std::int32_t k;
  std::int32_t n;
  std::int32_t b_is_constant;
  std::int32_t b_transposed;
  std::int32_t b_signed;
  std::int32_t row_block;
  Quantization quantization;
};

struct Matrix {
  const std::uint8_t* data;
  std::int32_t columns;
};

const std::uint8_t* row_of(const void* source, std::int32_t index, Cursor& /*cursor*/,
                           std::uint8_t* /*buffer*/) {
  const auto& matrix = *static_cast<const Matrix*>(source);
  return matrix.data + index * matrix.columns;
}

// b[row][column] of [k, n], or of the [n, k] that it is the transpose of, to the layout of dot.hpp; the sums
// of its columns go to `sums`. Unsigned values are packed 128 less.
void pack_columns(const MatMulQuantized& d, const std::uint8_t* b, std::int8_t* packed, std::int32_t* sums,
                  Range groups) {
  const std::int32_t down = d.b_transposed != 0 ? 1 : d.n;
  const std::int32_t right = d.b_transposed != 0 ? d.k : 1;
  const std::uint8_t flip = d.b_signed != 0 ? 0 : 0x80;
  const std::int32_t steps = (d.k + kDepth - 1) / kDepth;
  packed += groups.begin * steps * kDotWeights;
  for (int group = groups.begin; group < groups.end; ++group, packed += steps * kDotWeights) {
    const std::int32_t begin = group * kDotColumns;
    const int columns = d.n - begin < kDotColumns ? d.n - begin : kDotColumns;
    for (int c = 0; c < kDotColumns; ++c) {
      const std::uint8_t* from = b + (begin + c) * right;
      std::int8_t* to = packed + c * kDepth;
      std::int32_t sum = 0;
      for (std::int32_t i = 0; i < steps * kDepth; ++i) {
        const bool inside = c < columns && i < d.k;
        const auto value = static_cast<std::int8_t>(inside ? from[i * down] ^ flip : 0);
        to[i / kDepth * kDotWeights + i % kDepth] = value;
        sum += value;
      }
      sums[begin + c] = sum;
    }
  }
}

}  // namespace
}  // namespace wg

extern "C" int wg_matmul_quantized(const std::int32_t* descriptor, const std::uint8_t* a,
                                   const std::uint8_t* a_zero, const float* factor, const void* b,
                                   const std::int32_t* columns, const float* residual, void* y,
                                   void* scratch) {
  const auto& d = *reinterpret_cast<const wg::MatMulQuantized*>(descriptor);
  const std::int32_t groups = (d.n + wg::kDotColumns - 1) / wg::kDotColumns;
  const std::int32_t padded = groups * wg::kDotColumns;
  const std::int32_t packed_size = groups * ((d.k + wg::kDepth - 1) / wg::kDepth) * wg::kDotWeights;
  const auto products = [&](wg::Range batch, void* memory) {
    auto* own_columns = static_cast<std::int32_t*>(memory);
    auto* packed = reinterpret_cast<std::int8_t*>(own_columns + 5 * padded);
    if (d.b_is_constant == 0) {
      for (std::int32_t i = 0; i < 5 * padded; ++i) own_columns[i] = columns[i];
      memory = packed + packed_size;
    }
    for (std::int32_t i = batch.begin; i < batch.end; ++i) {
      const wg::Matrix matrix{a + i * d.m * d.k, d.k};
      const auto* weights = static_cast<const std::int8_t*>(b) + i * packed_size;
      const std::int32_t* here = columns + i * 5 * padded;
      if (d.b_is_constant == 0) {
        wg::in_parallel(groups, std::int64_t{4} * d.k * wg::kDotColumns, memory,
                        [&](wg::Range part, void* /*scratch*/) {
                          wg::pack_columns(d, static_cast<const std::uint8_t*>(b) + i * d.k * d.n, packed,
                                           own_columns, part);
                        });
        weights = packed;
        here = own_columns;
      }
      const wg::QuantizedProduct product{{&matrix, wg::row_of, d.m, d.k},
                                         weights,
                                         {here, padded},
                                         d.n,
                                         residual,
                                         y,
                                         i * d.m * d.n,
                                         d.n,
                                         d.row_block};
      wg::multiply(d.quantization, a_zero, *factor, product, memory);
    }
  };
  if (d.batch < wg::kFewParts) {
    products({0, d.batch}, scratch);  // each in parallel
  } else {
    wg::in_parallel(d.batch, std::int64_t{2} * d.m * d.n * d.k, scratch, products);
  }
  return 0;
}
