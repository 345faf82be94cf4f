// Results of sums that are not whole vectors, or need more than a scale.
#include "wasmgrad/graph_runtime/kernels/quantized.hpp"

#include "wasmgrad/graph_runtime/kernels/tile.hpp"

namespace wg {
namespace {

void store_words(std::int32_t* y, const std::int32_t* sums, int rows, std::int32_t stride, int count) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < count; ++c) y[i * stride + c] = sums[i * kDotColumns + c];
  }
}

// Less the rows' sums times the zero points of the columns.
void shift(const std::int32_t* sums, int rows, const std::int32_t* row_sums, const Columns& columns,
           std::int32_t* shifted) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < kDotColumns; c += kLanes) {
      const Integers zeros = load_integers(columns.zeros() + c);
      const Integers sum = load_integers(sums + i * kDotColumns + c);
      store_integers(shifted + i * kDotColumns + c, sum - zeros * row_sums[i]);
    }
  }
}

}  // namespace

void Finish::operator()(const std::int32_t* sums, int rows, const std::int32_t* row_sums,
                        const Columns& columns, const float* residual, void* y, std::int32_t at,
                        std::int32_t stride, int count) const {
  std::int32_t shifted[kMostDotRows * kDotColumns];
  if (q_.weights_shifted != 0) {
    shift(sums, rows, row_sums, columns, shifted);
    sums = shifted;
  }
  switch (q_.result) {
    case Quantization::Result::kInt32:
      return store_words(static_cast<std::int32_t*>(y) + at, sums, rows, stride, count);
    case Quantization::Result::kFloat32:
      return floats(sums, rows, columns, q_.has_residual != 0 ? residual + at : nullptr,
                    static_cast<float*>(y) + at, stride, count);
    default:
      return bytes(sums, rows, columns, static_cast<std::uint8_t*>(y) + at, stride, count);
  }
}

void Finish::bytes(const std::int32_t* sums, int rows, const Columns& columns, std::uint8_t* y,
                   std::int32_t stride, int count) const {
  const ByteResults results(q_);
  const Vector rounder = splat(ByteResults::kRounder);
  const auto real = [&](const std::int32_t* from, int c) {
    return as_reals(load_integers(from + c)) * load(columns.scale() + c) + load(columns.offset() + c) +
           rounder;
  };
  for (int i = 0; i < rows; ++i, sums += kDotColumns, y += stride) {
    std::uint8_t row[kDotColumns];
    results.store(real(sums, 0), real(sums, kLanes), row);
    for (int c = 0; c < count; ++c) y[c] = row[c];
  }
}

void Finish::floats(const std::int32_t* sums, int rows, const Columns& columns, const float* residual,
                    float* y, std::int32_t stride, int count) const {
  const Vector low = splat(q_.activation.low);
  const Vector high = splat(q_.activation.high);
  for (int i = 0; i < rows; ++i, sums += kDotColumns) {
    for (int c = 0; c < count; c += kLanes) {
      Vector value = as_reals(load_integers(sums + c)) * (load(columns.scale() + c) * splat(factor_)) +
                     load(columns.offset() + c);
      const std::int32_t at = i * stride + c;
      if (residual != nullptr) value += load_first(residual + at, count - c);
      value = at_most(at_least(value, low), high);
      if (q_.activation.kind > Activation::Kind::kClip) value = apply_function(q_.activation.kind, value);
      store_first(y + at, value, count - c);
    }
  }
}

}  // namespace wg
