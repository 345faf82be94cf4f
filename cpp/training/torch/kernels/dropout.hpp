// Dropout on runs of floats whose mask is a pure function of (key, position): the same for every thread count
// and CPU.
//
// Works on blocks of 128 elements; a scalar reference and one variant per instruction set, bit-identical to
// it. No torch.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace wasmgrad::training::kernels {

/// Elements that share the 16 Philox counters of one block; their keep bits fill 16 bytes of mask.
inline constexpr std::int64_t kDropoutBlock = 128;
inline constexpr std::int64_t kDropoutMaskBytes = kDropoutBlock / 8;

/// Which random mask: equal keys give equal masks.
struct DropoutKey {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;  ///< below 2^48
  std::uint16_t site = 0;  ///< which dropout of the program
};

/// What dropping means: an element is kept when its 16-bit draw is at least `threshold`, and then multiplied
/// by `scale`. The probability is thus rounded to a multiple of 2^-16; the scale is that of the exact
/// probability.
struct DropoutRate {
  std::uint32_t threshold = 0;
  float scale = 1;
};

/// `probability` in 0..1; at 1 nothing is kept.
DropoutRate dropout_rate(double probability) noexcept;

constexpr std::int64_t dropout_blocks(std::int64_t elements) noexcept {
  return (elements + kDropoutBlock - 1) / kDropoutBlock;
}

/// One instruction set's kernels. `first_block` is the number of the block at x[0]; `mask` has room for the
/// blocks' bytes.
struct DropoutKernels {
  std::string_view name;
  /// y[i] = keep(i) ? x[i] * scale : 0, and the keep bits into `mask`.
  void (*forward)(const float* x, float* y, std::uint8_t* mask, std::int64_t elements,
                  std::int64_t first_block, const DropoutKey& key, const DropoutRate& rate);
  /// dx[i] = keep(i) ? dy[i] * scale : 0, from the mask that forward wrote.
  void (*backward)(const float* dy, const std::uint8_t* mask, float* dx, std::int64_t elements,
                   const DropoutRate& rate);
};

/// All variants this CPU can run, the reference first and the fastest last.
std::span<const DropoutKernels> dropout_variants() noexcept;
/// The fastest one.
const DropoutKernels& dropout_kernels() noexcept;

}  // namespace wasmgrad::training::kernels
