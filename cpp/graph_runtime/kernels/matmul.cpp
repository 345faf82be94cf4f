// Product of row-major matrices; a right-hand side that is not constant is packed on the way.
#include "wasmgrad/graph_runtime/kernels/gemm.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

struct MatMul {
  std::int32_t batch;
  std::int32_t m;
  std::int32_t k;
  std::int32_t n;
  std::int32_t has_residual;
  std::int32_t b_is_constant;
  std::int32_t b_transposed;
  Activation activation;
  std::int32_t depth_block;
  std::int32_t row_block;
};

// b[row][column] of [k, n], or of the [n, k] that it is the transpose of, to the layout of gemm.hpp.
void pack_columns(const MatMul& d, const float* b, float* packed, Range groups) {
  const std::int32_t down = d.b_transposed != 0 ? 1 : d.n;
  const std::int32_t right = d.b_transposed != 0 ? d.k : 1;
  packed += groups.begin * kColumns * d.k;
  for (int group = groups.begin; group < groups.end; ++group) {
    const int begin = group * kColumns;
    const int columns = d.n - begin < kColumns ? d.n - begin : kColumns;
    for (int row = 0; row < d.k; ++row, packed += kColumns) {
      const float* from = b + row * down + begin * right;
      if (columns == kColumns && right == 1) {
        store(packed, load(from));
        store(packed + kLanes, load(from + kLanes));
      } else {
        for (int j = 0; j < kColumns; ++j) packed[j] = j < columns ? from[j * right] : 0;
      }
    }
  }
}

}  // namespace
}  // namespace wg

extern "C" int wg_matmul(const std::int32_t* descriptor, const float* a, const float* b, const float* bias,
                         const float* residual, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::MatMul*>(descriptor);
  const int groups = (d.n + wg::kColumns - 1) / wg::kColumns;
  const std::int32_t packed_size = groups * wg::kColumns * d.k;
  const auto products = [&](wg::Range batch, void* memory) {
    auto* panels = static_cast<float*>(memory);
    float* packed = panels + d.row_block * d.depth_block * wg::kSplat;
    for (int i = batch.begin; i < batch.end; ++i) {
      const float* weights = b + i * packed_size;
      if (d.b_is_constant == 0) {
        wg::in_parallel(
            groups, std::int64_t{4} * d.k * wg::kColumns, memory,
            [&](wg::Range part, void* /*scratch*/) { wg::pack_columns(d, b + i * d.k * d.n, packed, part); });
        weights = packed;
      }
      const std::int32_t at = i * d.m * d.n;
      const wg::Epilogue epilogue{bias, d.has_residual != 0 ? residual + at : nullptr, d.activation};
      wg::multiply({d.m, d.k, d.n, a + i * d.m * d.k, d.k, weights, y + at, d.n, d.depth_block, d.row_block},
                   &epilogue, panels);
    }
  };
  if (d.batch < wg::kFewParts) {
    products({0, d.batch}, scratch);  // each in parallel
  } else {
    wg::in_parallel(d.batch, std::int64_t{2} * d.m * d.n * d.k, scratch, products);
  }
  return 0;
}
