// The matrix product under convolutions and matmul: rows packed into panels, times weights packed into
// columns.
//
// Weights: [columns / kColumns][k][kColumns], padded with zeros. A panel holds kRows rows (the last one
// fewer), depth first: [depth][rows][kSplat]. 128-bit vectors want every value four times: engines load a
// vector faster than they splat a float.
#pragma once

#include "wasmgrad/graph_runtime/kernels/activation.hpp"

namespace wg {

inline constexpr int kRows = 4;
inline constexpr int kColumns = 2 * kLanes;
inline constexpr int kColumnStep = 2 * kColumns;  // between parts of a product
inline constexpr int kSplat = kLanes == 4 ? 4 : 1;

/// What a product becomes once its last part is added. Addresses belong to its first row and column; the
/// residual has the strides of the output. A null residual adds nothing.
struct Epilogue {
  const float* bias;
  const float* residual;
  Activation activation;

  /// The same for what begins `row` floats and `column` columns further on.
  Epilogue from(std::int32_t row, int column) const {
    return {bias + column, residual != nullptr ? residual + row + column : nullptr, activation};
  }
};

/// One pass: `rows` packed rows times `depth` of the k products of every column.
struct Pass {
  const float* panels;
  int rows;
  int depth;
  const float* weights;         // at the first product of this pass
  std::int32_t weights_stride;  // floats from one group of kColumns columns to the next
  int columns;
  float* y;
  std::int32_t y_stride;     // floats from row to row
  bool first;                // nothing is in y yet
  const Epilogue* epilogue;  // null unless this pass is the last
};

void run(const Pass& pass);

/// Puts `count` values of one row into its panel; `panel` points at the row's place for the first of them,
/// `rows` is the number of rows in the panel.
void pack(const float* values, int count, int rows, float* panel);

/// Packs `count` values of each of kRows rows, `stride` floats apart: a whole panel at a time.
void pack_panel(const float* values, std::int32_t stride, int count, float* panel);

/// Packs zeros as one row.
void pack_zeros(int count, int rows, float* panel);

/// Number of rows in the panel that holds row `row` of `rows`.
inline int rows_of_panel(int row, int rows) {
  return rows - row / kRows * kRows < kRows ? rows % kRows : kRows;
}

/// Where the first value of row `row` stands among the panels.
inline float* place(float* panels, int row, int depth) {
  return panels + (row / kRows * kRows * depth + row % kRows) * kSplat;
}

/// y[rows][columns] = epilogue(x[rows][k] * weights), row strides in floats, in blocks of `depth_block` x
/// `row_block` with panels of that size. A null epilogue leaves the product as it is.
struct Product {
  int rows;
  int k;
  int columns;
  const float* x;
  std::int32_t x_stride;
  const float* weights;
  float* y;
  std::int32_t y_stride;
  int depth_block;
  int row_block;
};

void multiply(const Product& product, const Epilogue* epilogue, float* panels);

}  // namespace wg
