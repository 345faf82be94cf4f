// Weights from the form in which a module stores them to the one that kernels read: wide, and transformed
// where that takes more memory. It runs once, before the first call that reads them.
//
// What is stored are [panels][depth][width] values, exact in a type of fewer bits: floats of 16 bits, or
// integers less a zero point, times a scale, which each column of a block of the depth has for itself.
#include "wasmgrad/graph_runtime/kernels/gemm.hpp"
#include "wasmgrad/graph_runtime/kernels/narrow.hpp"
#include "wasmgrad/graph_runtime/kernels/simd.hpp"

namespace wg {
namespace {

// The compiler's Expand class fills it.
struct Expand {
  std::int32_t form;  // a Form
  std::int32_t panels;
  std::int32_t depth;
  std::int32_t width;
  std::int32_t block;       // of the depth: what shares scales and zero points
  std::int32_t has_zeros;   // else the zero point is the middle of the integers
  std::int32_t has_factor;  // whether the values of a panel's column are multiplied by one more number
  std::int32_t arrangement;
};

enum Arrangement : std::int32_t { kAsStored = 0, kRowsToColumns = 1, kWinograd2 = 2, kWinograd4 = 4 };

struct Stored {
  const std::uint8_t* values;
  const std::uint8_t* zeros;
  const float* scales;
  const float* factors;
};

// One panel, wide, to `y`.
void widen_panel(const Expand& d, const Stored& from, std::int32_t panel, float* y) {
  const std::int32_t size = d.depth * d.width;
  const auto form = static_cast<Form>(d.form);
  if (!is_integer(form)) {
    widen_floats(form, from.values, panel * size, size, y);
  } else {
    const std::int32_t blocks = (d.depth + d.block - 1) / d.block;
    for (std::int32_t b = 0; b < blocks; ++b) {
      const std::int32_t begin = b * d.block;
      const std::int32_t rows = d.depth - begin < d.block ? d.depth - begin : d.block;
      const std::int32_t column = (panel * blocks + b) * d.width;
      const Scales scales{form, d.has_zeros != 0 ? from.zeros : nullptr, from.scales, column};
      widen_block(scales, from.values, panel * size + begin * d.width, rows, d.width, y + begin * d.width);
    }
  }
  if (d.has_factor == 0) return;
  const float* factors = from.factors + panel * d.width;
  for (std::int32_t k = 0; k < d.depth; ++k, y += d.width) {
    for (std::int32_t w = 0; w < d.width; ++w) y[w] *= factors[w];
  }
}

// Rows of a matrix, each a panel, to the columns of packed panels: those of one at `y`.
void gather_columns(const Expand& d, const Stored& from, std::int32_t first, float* row, float* y) {
  for (std::int32_t w = 0; w < kColumns; ++w) {
    if (first + w < d.panels) {
      widen_panel(d, from, first + w, row);
      for (std::int32_t k = 0; k < d.depth; ++k) y[k * kColumns + w] = row[k];
    } else {
      for (std::int32_t k = 0; k < d.depth; ++k) y[k * kColumns + w] = 0;
    }
  }
}

typedef double Wide __attribute__((vector_size(8 * kLanes)));

// The one-dimensional transforms of weights, `step` apart: the data's stand in conv2d_winograd.cpp.
inline void transform(const Wide* w, int step, Wide (&out)[4]) {
  const Wide half_sum = 0.5 * (w[0] + w[2 * step]), half = 0.5 * w[step];
  out[0] = w[0];
  out[1] = half_sum + half;
  out[2] = half_sum - half;
  out[3] = w[2 * step];
}

inline void transform(const Wide* w, int step, Wide (&out)[6]) {
  const Wide sixth_sum = (1.0 / 6) * (w[0] + w[2 * step]), sixth = (1.0 / 6) * w[step];
  const Wide far = (1.0 / 24) * w[0] + (1.0 / 6) * w[2 * step], twelfth = (1.0 / 12) * w[step];
  out[0] = 0.25 * w[0];
  out[1] = -sixth_sum - sixth;
  out[2] = sixth - sixth_sum;
  out[3] = far + twelfth;
  out[4] = far - twelfth;
  out[5] = w[2 * step];
}

// A panel [3][3][channels][kColumns] to its places in [points][panels][channels][kColumns], computed in
// doubles.
template <int kTile>
void transform_panel(const float* panel, std::int32_t channels, std::int32_t point_stride, float* y) {
  constexpr int kWindow = kTile + 2;
  const std::int32_t tap_stride = channels * kColumns;
  for (std::int32_t at = 0; at < tap_stride; at += kLanes) {
    Wide taps[9];
    for (int i = 0; i < 9; ++i) taps[i] = __builtin_convertvector(load(panel + i * tap_stride + at), Wide);
    Wide rows[kWindow * 3];
    for (int j = 0; j < 3; ++j) {
      Wide column[kWindow];
      transform(taps + j, 3, column);
      for (int i = 0; i < kWindow; ++i) rows[i * 3 + j] = column[i];
    }
    for (int i = 0; i < kWindow; ++i) {
      Wide row[kWindow];
      transform(rows + i * 3, 1, row);
      for (int j = 0; j < kWindow; ++j)
        store(y + (i * kWindow + j) * point_stride + at, __builtin_convertvector(row[j], Vector));
    }
  }
}

void expand_winograd(const Expand& d, const Stored& from, float* y, float* scratch) {
  const std::int32_t channels = d.depth / 9;
  const std::int32_t transformed = channels * d.width, point_stride = d.panels * transformed;
  for (std::int32_t panel = 0; panel < d.panels; ++panel) {
    widen_panel(d, from, panel, scratch);
    float* to = y + panel * transformed;
    if (d.arrangement == kWinograd2) {
      transform_panel<2>(scratch, channels, point_stride, to);
    } else {
      transform_panel<4>(scratch, channels, point_stride, to);
    }
  }
}

}  // namespace
}  // namespace wg

/// Moves what is stored to higher addresses, by a multiple of 64 bytes; both parts may overlap.
extern "C" int wg_move_up(const float* from, float* to, std::int32_t bytes) {
  for (std::int32_t i = bytes / 4 - wg::kLanes; i >= 0; i -= wg::kLanes)
    wg::store(to + i, wg::load(from + i));
  return 0;
}

extern "C" int wg_expand(const std::int32_t* descriptor, const void* stored, const void* zeros,
                         const float* scales, const float* factors, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Expand*>(descriptor);
  const wg::Stored from{static_cast<const std::uint8_t*>(stored), static_cast<const std::uint8_t*>(zeros),
                        scales, factors};
  auto* memory = static_cast<float*>(scratch);
  switch (d.arrangement) {
    case wg::kRowsToColumns:
      for (std::int32_t first = 0; first < d.panels; first += wg::kColumns)
        wg::gather_columns(d, from, first, memory, y + first * d.depth);
      return 0;
    case wg::kAsStored:
      for (std::int32_t panel = 0; panel < d.panels; ++panel)
        wg::widen_panel(d, from, panel, y + panel * d.depth * d.width);
      return 0;
    default:
      wg::expand_winograd(d, from, y, memory);
      return 0;
  }
}
