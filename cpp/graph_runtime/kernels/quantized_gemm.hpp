// The matrix product under quantized convolutions and matmul: rows of bytes times columns of int8.
#pragma once

#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"
#include "wasmgrad/graph_runtime/kernels/quantized.hpp"

namespace wg {

/// What a source remembers of the row that it was asked for last.
struct Cursor {
  std::int32_t index = -1;
  Pixel pixel{};
};

/// Rows of k bytes, which `row` finds, or gathers in `buffer` of k bytes.
struct Rows {
  const void* source;
  const std::uint8_t* (*row)(const void* source, std::int32_t index, Cursor& cursor, std::uint8_t* buffer);
  std::int32_t count;
  std::int32_t k;
};

/// y[rows][columns] of rows times weights; where results go, with the stride of rows in elements.
struct QuantizedProduct {
  Rows rows;
  const std::int8_t* weights;
  Columns columns;
  std::int32_t column_count;
  const float* residual;
  void* y;
  std::int32_t at;  // the first element
  std::int32_t y_stride;
  std::int32_t row_block;  // a multiple of the rows of every tile
};

/// scratch: 4 bytes a column and padded, k and then 2 bytes for each value of a block's rows.
void multiply(const Quantization& q, const std::uint8_t* x_zero, float factor,
              const QuantizedProduct& product, void* scratch);

}  // namespace wg
