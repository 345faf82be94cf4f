// How kernels divide their work: into parts of whole register tiles, whose results have the same bits
// wherever they are cut. Without WASMGRAD_THREADS all of it is one part, and nothing else remains of this.
#pragma once

#include <cstdint>

#if defined(WASMGRAD_THREADS)
#include "wasmgrad/graph_runtime/threads/pool.hpp"
#endif

namespace wg {

/// What is in [begin, end).
struct Range {
  int begin;
  int end;
};

/// Fewer parts than this would leave threads idle at the end: each is rather divided itself.
inline constexpr int kFewParts = 8;

#if defined(WASMGRAD_THREADS)

/// Shares [0, count) in parts of `step`.
template <typename Body>
inline void in_parts(int count, int step, void* scratch, const Body& body) {
  if (step >= count) return body(Range{0, count}, scratch);
  const auto run = [](const void* of, int begin, int end, void* memory) {
    (*static_cast<const Body*>(of))(Range{begin, end}, memory);
  };
  share({run, &body, count, step, scratch});
}

/// Calls body(Range, scratch) so that all of [0, count) is done once, on as many threads as it is worth. The
/// body writes nothing that another part reads or writes; what one of several parts calls stays on its
/// thread. `scratch` is the kernel's own or, on another thread, as much memory that belongs to that one.
/// cost: floating-point operations of one step, or what takes as long.
template <typename Body>
inline void in_parallel(int count, std::int64_t cost, void* scratch, const Body& body) {
  in_parts(count, part_of(count, cost), scratch, body);
}

/// Calls body(Range, Range, scratch) likewise with rows and columns of a product. Ranges begin at multiples
/// of kRowsOfPart rows and of `column_step` columns; where there are enough blocks of rows, columns stay
/// together, so that a row is packed once. cost: of one row and column.
template <typename Body>
inline void in_parallel(int rows, int row_block, int columns, int column_step, std::int64_t cost,
                        void* scratch, const Body& body) {
  const Division division = divide(rows, row_block, columns, column_step, cost);
  const int across = (columns - 1) / division.columns + 1;
  const int parts = ((rows - 1) / division.rows + 1) * across;
  const auto at = [&](Range range, void* memory) {
    for (int part = range.begin; part < range.end; ++part) {
      const int row = part / across * division.rows;
      const int column = part % across * division.columns;
      body(Range{row, rows - row < division.rows ? rows : row + division.rows},
           Range{column, columns - column < division.columns ? columns : column + division.columns}, memory);
    }
  };
  in_parts(parts, 1, scratch, at);
}

#else

template <typename Body>
inline void in_parallel(int count, std::int64_t /*cost*/, void* scratch, const Body& body) {
  body(Range{0, count}, scratch);
}

template <typename Body>
inline void in_parallel(int rows, int /*row_block*/, int columns, int /*column_step*/, std::int64_t /*cost*/,
                        void* scratch, const Body& body) {
  body(Range{0, rows}, Range{0, columns}, scratch);
}

inline void find_threads() {}
inline bool stopped() { return false; }

#endif

}  // namespace wg
