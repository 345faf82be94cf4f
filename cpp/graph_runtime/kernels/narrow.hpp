// Numbers that are stored in fewer than 32 bits, and the floats that they are.
#pragma once

#include <cstdint>

namespace wg {

/// How values are stored; the numbers are those of `_FORMS` in
/// python/wasmgrad/compiler/passes/kernels/expand.py.
enum class Form : std::int32_t { kFloat32 = 0, kFloat16 = 1, kBfloat16 = 2, kInt8 = 3, kInt4 = 4 };

inline bool is_integer(Form form) { return form == Form::kInt8 || form == Form::kInt4; }

/// `count` values of a form of floats from the index `first` on.
void widen_floats(Form form, const std::uint8_t* values, std::int32_t first, std::int32_t count, float* y);

/// Scales and zero points of the columns from `column` on. Without zero points they are the middle, 128 or 8.
struct Scales {
  Form form;
  const std::uint8_t* zeros;  // in the form of the values; null: none
  const float* scales;
  std::int32_t column;
};

/// [rows][width] integers from the index `first` on, less the zero points, times the scales, of each column.
void widen_block(const Scales& scales, const std::uint8_t* values, std::int32_t first, std::int32_t rows,
                 std::int32_t width, float* y);

}  // namespace wg
