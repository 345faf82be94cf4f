// What register tiles have in common: rows of two vectors, and what becomes of finished sums.
#pragma once

#include "wasmgrad/graph_runtime/kernels/gemm.hpp"

namespace wg {

/// The sums of one row of a tile.
struct Partial {
  Vector low;
  Vector high;
};

/// Where a tile stands: its bias, residual and output, with the stride of rows.
struct Place {
  const float* bias;
  const float* residual;  // null: none
  float* y;
  std::int32_t stride;
  int columns;  // fewer than kColumns: only so many are read and written
};

/// Two vectors of a row, whole or only the first columns of them.
template <bool kWhole>
inline Partial load_row(const float* p, int columns) {
  if constexpr (kWhole) return {load(p), load(p + kLanes)};
  return {load_first(p, columns), load_first(p + kLanes, columns - kLanes)};
}

template <bool kWhole>
inline void store_row(float* p, const Partial& row, int columns) {
  if constexpr (kWhole) {
    store(p, row.low);
    store(p + kLanes, row.high);
  } else {
    store_first(p, row.low, columns);
    store_first(p + kLanes, row.high, columns - kLanes);
  }
}

/// Adds bias and residual to the sums and keeps them in the bounds of the activation.
template <int kTileRows, bool kWhole>
inline void finish(const Activation& activation, const Place& place, Partial (&sums)[kTileRows]) {
  const Partial bias{load(place.bias), load(place.bias + kLanes)};
  const Vector low = splat(activation.low);
  const Vector high = splat(activation.high);
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) {
    sums[i].low += bias.low;
    sums[i].high += bias.high;
    if (place.residual != nullptr) {
      const Partial residual = load_row<kWhole>(place.residual + i * place.stride, place.columns);
      sums[i].low += residual.low;
      sums[i].high += residual.high;
    }
    sums[i].low = at_most(at_least(sums[i].low, low), high);
    sums[i].high = at_most(at_least(sums[i].high, low), high);
  }
}

/// Activations that are more than bounds, once a tile is stored.
[[gnu::noinline]] inline void activate(Activation::Kind kind, const Place& place, int rows) {
  if (kind <= Activation::Kind::kClip) return;
  for (int i = 0; i < rows; ++i) {
    float* row = place.y + i * place.stride;
    for (int j = 0; j < place.columns; j += kLanes) {
      store_first(row + j, apply_function(kind, load_first(row + j, place.columns - j)), place.columns - j);
    }
  }
}

}  // namespace wg
