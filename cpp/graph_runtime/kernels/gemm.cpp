// Register tiles of up to kMostRows x kColumns and the loops that keep panels and weights in the caches.
#include "wasmgrad/graph_runtime/kernels/gemm.hpp"

#include "wasmgrad/graph_runtime/kernels/tile.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

// Column groups that are multiplied with one panel before the next panel comes: with 256 products each 64
// KiB, in L2.
constexpr int kGroupsAtATime = 8;

// Rows of a tile: two panels where there are 32 registers, so that weights, which come from L2, are read half
// as often.
constexpr int kMostRows = kLanes == 16 ? 2 * kRows : kRows;

inline Vector panel_value(const float* p) { return kSplat == kLanes ? load(p) : splat(*p); }

// Adds `depth` products, a multiple of kSides, to the sums; the next panel is `panel_step` floats away. A
// tile of few rows has too few sums to hide the latency of adding: it takes kSides products side by side.
template <int kTileRows, int kSides>
inline void accumulate(int depth, const float* panel, std::int32_t panel_step, const float* weights,
                       Partial (&sums)[kTileRows]) {
  constexpr int kPanelRows = kTileRows < kRows ? kTileRows : kRows;
  Partial sides[kSides][kTileRows] = {};
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) sides[0][i] = sums[i];
  for (const float* end = panel + depth * kPanelRows * kSplat; panel != end;) {
    detach(panel);
    detach(weights);
#pragma GCC unroll 4
    for (int s = 0; s < kSides; ++s) {
      const Vector low = load(weights + s * kColumns);
      const Vector high = load(weights + s * kColumns + kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kTileRows; ++i) {
        const float* from = panel + i / kRows * panel_step;
        const Vector x = panel_value(from + (s * kPanelRows + i % kRows) * kSplat);
        sides[s][i].low = madd(x, low, sides[s][i].low);
        sides[s][i].high = madd(x, high, sides[s][i].high);
      }
    }
    panel += kSides * kPanelRows * kSplat;
    weights += kSides * kColumns;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) {
    sums[i] = sides[0][i];
#pragma GCC unroll 4
    for (int s = 1; s < kSides; ++s) {
      sums[i].low += sides[s][i].low;
      sums[i].high += sides[s][i].high;
    }
  }
}

// In memory on purpose: as arguments the two pointers cost V8 a register of the loop.
struct Operands {
  const float* panel;
  const float* weights;
};

// A function of its own that calls no other: engines keep the sums in registers only where nothing else wants
// them.
template <int kTileRows, bool kWhole>
[[gnu::noinline]] void tile(const Pass& pass, const Operands& operands, const Place& place) {
  Partial sums[kTileRows] = {};
  constexpr int kSides = kTileRows == 1 ? 2 : 1;
  const int paired = pass.depth / kSides * kSides;
  const std::int32_t panel_step = pass.depth * kRows * kSplat;
  accumulate<kTileRows, kSides>(paired, operands.panel, panel_step, operands.weights, sums);
  if constexpr (kSides > 1) {
    accumulate<kTileRows, 1>(pass.depth - paired, operands.panel + paired * kTileRows * kSplat, panel_step,
                             operands.weights + paired * kColumns, sums);
  }
  if (!pass.first) {
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
      const Partial before = load_row<kWhole>(place.y + i * place.stride, place.columns);
      sums[i].low += before.low;
      sums[i].high += before.high;
    }
  }
  if (pass.epilogue != nullptr) finish<kTileRows, kWhole>(pass.epilogue->activation, place, sums);
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) store_row<kWhole>(place.y + i * place.stride, sums[i], place.columns);
}

// The panels of one tile times the columns from `begin` to `end`.
template <int kTileRows>
void panel_times(const Pass& pass, int row, int begin, int end) {
  Operands operands{pass.panels + row * pass.depth * kSplat,
                    pass.weights + begin / kColumns * pass.weights_stride};
  Place place{nullptr, nullptr, pass.y + row * pass.y_stride + begin, pass.y_stride, kColumns};
  if (pass.epilogue != nullptr) {
    place.bias = pass.epilogue->bias + begin;
    if (pass.epilogue->residual != nullptr) {
      place.residual = pass.epilogue->residual + row * pass.y_stride + begin;
    }
  }
  for (int column = begin; column < end; column += kColumns) {
    if (end - column >= kColumns) {
      tile<kTileRows, true>(pass, operands, place);
    } else {
      place.columns = end - column;
      tile<kTileRows, false>(pass, operands, place);
    }
    if (pass.epilogue != nullptr) activate(pass.epilogue->activation.kind, place, kTileRows);
    operands.weights += pass.weights_stride;
    place.y += kColumns;
    place.bias += kColumns;
    if (place.residual != nullptr) place.residual += kColumns;
  }
}

}  // namespace

void run(const Pass& pass) {
  constexpr int kStep = kGroupsAtATime * kColumns;
  for (int begin = 0; begin < pass.columns; begin += kStep) {
    const int end = pass.columns - begin < kStep ? pass.columns : begin + kStep;
    for (int row = 0; row < pass.rows;) {
      const int left = pass.rows - row;
      const int rows = left >= kMostRows ? kMostRows : left >= kRows ? kRows : left;
      switch (rows) {
        case 1:
          panel_times<1>(pass, row, begin, end);
          break;
        case 2:
          panel_times<2>(pass, row, begin, end);
          break;
        case 3:
          panel_times<3>(pass, row, begin, end);
          break;
        case kRows:
          panel_times<kRows>(pass, row, begin, end);
          break;
        default:
          panel_times<kMostRows>(pass, row, begin, end);
      }
      row += rows;
    }
  }
}

namespace {

template <int kPanelRows>
void pack_among(const float* values, int count, float* panel) {
  int k = 0;
  for (; k + 4 <= count; k += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if constexpr (kSplat == kLanes) {
        store(panel + i * kPanelRows * kSplat, splat(values[k + i]));
      } else {
        panel[i * kPanelRows] = values[k + i];
      }
    }
    panel += 4 * kPanelRows * kSplat;
  }
  for (; k < count; ++k) {
    for (int i = 0; i < kSplat; ++i) panel[i] = values[k];
    panel += kPanelRows * kSplat;
  }
}

}  // namespace

void pack(const float* values, int count, int rows, float* panel) {
  switch (rows) {
    case 1:
      return pack_among<1>(values, count, panel);
    case 2:
      return pack_among<2>(values, count, panel);
    case 3:
      return pack_among<3>(values, count, panel);
    default:
      return pack_among<kRows>(values, count, panel);
  }
}

void pack_panel(const float* values, std::int32_t stride, int count, float* panel) {
  static_assert(kRows == 4);
  const float* rows[kRows] = {values, values + stride, values + 2 * stride, values + 3 * stride};
  for (int k = 0; k < count; ++k, panel += kRows * kSplat) {
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      if constexpr (kSplat == kLanes) {
        store(panel + i * kSplat, splat(rows[i][k]));
      } else {
        panel[i] = rows[i][k];
      }
    }
  }
}

void pack_zeros(int count, int rows, float* panel) {
  const int step = rows * kSplat;
  for (int k = 0; k < count; ++k, panel += step) {
    for (int i = 0; i < kSplat; ++i) panel[i] = 0;
  }
}

namespace {

constexpr int kRowGroups = 3;  // of columns that one row is multiplied with at a time

// One row times kGroups groups of columns. As many sums as there are registers for them and for all operands
// of a turn, which engines load first.
template <int kGroups, bool kWhole>
[[gnu::noinline]] void row_tile(const Product& product, const float* weights, const Epilogue* epilogue,
                                Place place) {
  constexpr int kSides = kGroups == 1 ? 2 : 1;
  Partial sums[kSides][kGroups] = {};
  const std::int32_t stride = product.k * kColumns;
  const float* x = product.x;
  const float* end = x + product.k;
  const auto add = [&](int side) {
    const Vector value = splat(x[side]);
#pragma GCC unroll 3
    for (int g = 0; g < kGroups; ++g) {
      const float* column = weights + g * stride + side * kColumns;
      sums[side][g].low = madd(value, load(column), sums[side][g].low);
      sums[side][g].high = madd(value, load(column + kLanes), sums[side][g].high);
    }
  };
  for (; end - x >= kSides; x += kSides, weights += kSides * kColumns) {
    detach(x);
    detach(weights);
#pragma GCC unroll 2
    for (int side = 0; side < kSides; ++side) add(side);
  }
  for (; x != end; ++x, weights += kColumns) add(0);
#pragma GCC unroll 3
  for (int g = 0; g < kGroups; ++g) {
    Partial total[1] = {sums[0][g]};
#pragma GCC unroll 2
    for (int side = 1; side < kSides; ++side) {
      total[0].low += sums[side][g].low;
      total[0].high += sums[side][g].high;
    }
    if (epilogue != nullptr) finish<1, kWhole>(epilogue->activation, place, total);
    store_row<kWhole>(place.y, total[0], place.columns);
    place.y += kColumns;
    place.bias += kColumns;
    if (place.residual != nullptr) place.residual += kColumns;
  }
}

// Needs no panel: every value of the row is splatted once for each group of columns, as a panel's would be.
void multiply_row(const Product& product, const Epilogue* epilogue, Range columns) {
  const std::int32_t group = product.k * kColumns;
  const float* weights = product.weights + columns.begin / kColumns * group;
  for (int column = columns.begin; column < columns.end;) {
    Place place{nullptr, nullptr, product.y + column, product.y_stride, kColumns};
    if (epilogue != nullptr) {
      place.bias = epilogue->bias + column;
      if (epilogue->residual != nullptr) place.residual = epilogue->residual + column;
    }
    const int left = columns.end - column;
    const int whole = left / kColumns;
    const int groups = whole >= kRowGroups ? kRowGroups : whole == 2 ? 2 : 1;
    if (groups == kRowGroups) {
      row_tile<kRowGroups, true>(product, weights, epilogue, place);
    } else if (groups == 2) {
      row_tile<2, true>(product, weights, epilogue, place);
    } else if (left >= kColumns) {
      row_tile<1, true>(product, weights, epilogue, place);
    } else {
      place.columns = left;
      row_tile<1, false>(product, weights, epilogue, place);
    }
    if (epilogue != nullptr) {
      place.columns = left < groups * kColumns ? left : groups * kColumns;
      activate(epilogue->activation.kind, place, 1);
    }
    column += groups * kColumns;
    weights += groups * group;
  }
}

// Some rows, from the begin of a tile on, times some groups of columns.
void multiply_part(const Product& product, const Epilogue* epilogue, float* panels, Range all_rows,
                   Range columns) {
  const std::int32_t stride = product.x_stride;
  const float* weights = product.weights + columns.begin * product.k;
  for (int row = all_rows.begin; row < all_rows.end; row += product.row_block) {
    const int rows = all_rows.end - row < product.row_block ? all_rows.end - row : product.row_block;
    float* y = product.y + row * product.y_stride + columns.begin;
    Epilogue here{};
    if (epilogue != nullptr) here = epilogue->from(row * product.y_stride, columns.begin);
    for (int k = 0; k < product.k; k += product.depth_block) {
      const int depth = product.k - k < product.depth_block ? product.k - k : product.depth_block;
      const float* x = product.x + row * stride + k;
      int i = 0;
      for (; i + kRows <= rows; i += kRows)
        pack_panel(x + i * stride, stride, depth, place(panels, i, depth));
      for (; i < rows; ++i) pack(x + i * stride, depth, rows % kRows, place(panels, i, depth));
      const bool last = k + depth == product.k;
      run({panels, rows, depth, weights + k * kColumns, product.k * kColumns, columns.end - columns.begin, y,
           product.y_stride, k == 0, last && epilogue != nullptr ? &here : nullptr});
    }
  }
}

}  // namespace

void multiply(const Product& product, const Epilogue* epilogue, float* panels) {
  const std::int64_t cost = std::int64_t{2} * product.k;
  if (product.rows == 1) {
    constexpr int kStep = kRowGroups * kColumns;
    const int steps = (product.columns - 1) / kStep + 1;
    in_parallel(steps, cost * kStep, panels, [&](Range part, void* /*scratch*/) {
      multiply_row(product, epilogue,
                   {part.begin * kStep, part.end == steps ? product.columns : part.end * kStep});
    });
  } else {
    in_parallel(product.rows, product.row_block, product.columns, kColumnStep, cost, panels,
                [&](Range rows, Range columns, void* scratch) {
                  multiply_part(product, epilogue, static_cast<float*>(scratch), rows, columns);
                });
  }
}

}  // namespace wg
