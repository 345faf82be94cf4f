// Four channels at a time in the compiler's generic vectors; branch-free, because which element is largest
// cannot be predicted.
#include "wasmgrad/training/torch/kernels/max_pool.hpp"

#include <algorithm>
#include <cstring>

namespace wasmgrad::training::kernels {
namespace {

using Float4 = float __attribute__((vector_size(16)));
using Int4 = std::int32_t __attribute__((vector_size(16)));

constexpr std::int64_t kLanes = 4;

Float4 load(const float* from, std::int64_t count) noexcept {
  Float4 value{};
  std::memcpy(&value, from, static_cast<std::size_t>(count) * sizeof(float));
  return value;
}

void store(float* to, Float4 value, std::int64_t count) noexcept {
  std::memcpy(to, &value, static_cast<std::size_t>(count) * sizeof(float));
}

struct Best {
  Float4 value;
  Int4 index;

  void consider(Float4 candidate, std::int32_t position) noexcept {
    const Int4 wins = (candidate > value) | (candidate != candidate);
    value = wins ? candidate : value;
    index = wins ? Int4{} + position : index;
  }
};

/// `count` is 4 wherever it matters for speed, and then a constant.
inline __attribute__((always_inline)) void forward_lanes(const float* x, std::int64_t row,
                                                         std::int64_t column, bool relu, float* y,
                                                         std::uint8_t* argmax, std::int64_t count) noexcept {
  Best best{load(x, count), Int4{}};
  best.consider(load(x + column, count), 1);
  best.consider(load(x + row, count), 2);
  best.consider(load(x + row + column, count), 3);
  if (relu) {
    const Int4 dead = best.value <= Float4{};
    best.value = dead ? Float4{} : best.value;
    best.index = dead ? Int4{} + kNoArgmax : best.index;
  }
  store(y, best.value, count);
  for (std::int64_t lane = 0; lane < count; ++lane)
    argmax[lane] = static_cast<std::uint8_t>(best.index[lane]);
}

inline __attribute__((always_inline)) void backward_lanes(const float* dy, const std::uint8_t* argmax,
                                                          std::int64_t row, std::int64_t column, float* dx,
                                                          std::int64_t count) noexcept {
  const Float4 gradient = load(dy, count);
  Int4 index{};
  for (std::int64_t lane = 0; lane < count; ++lane) index[lane] = argmax[lane];
  store(dx, index == 0 ? gradient : Float4{}, count);
  store(dx + column, index == 1 ? gradient : Float4{}, count);
  store(dx + row, index == 2 ? gradient : Float4{}, count);
  store(dx + row + column, index == 3 ? gradient : Float4{}, count);
}

}  // namespace

void max_pool_forward(const float* x, const PoolShape& shape, bool relu, float* y,
                      std::uint8_t* argmax) noexcept {
  const std::int64_t channels = shape.channels;
  const std::int64_t row = shape.width * channels;
  for (std::int64_t h = 0; h < shape.out_height(); ++h) {
    for (std::int64_t w = 0; w < shape.out_width(); ++w) {
      const float* in = x + 2 * h * row + 2 * w * channels;
      std::int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes)
        forward_lanes(in + c, row, channels, relu, y + c, argmax + c, kLanes);
      if (c < channels) forward_lanes(in + c, row, channels, relu, y + c, argmax + c, channels - c);
      y += channels;
      argmax += channels;
    }
  }
}

void max_pool_backward(const float* dy, const std::uint8_t* argmax, const PoolShape& shape,
                       float* dx) noexcept {
  const std::int64_t channels = shape.channels;
  const std::int64_t row = shape.width * channels;
  for (std::int64_t h = 0; h < shape.out_height(); ++h) {
    for (std::int64_t w = 0; w < shape.out_width(); ++w) {
      float* out = dx + 2 * h * row + 2 * w * channels;
      std::int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes)
        backward_lanes(dy + c, argmax + c, row, channels, out + c, kLanes);
      if (c < channels) backward_lanes(dy + c, argmax + c, row, channels, out + c, channels - c);
      dy += channels;
      argmax += channels;
    }
    if (shape.width % 2 != 0) {
      std::fill_n(dx + (2 * h + 1) * row - channels, channels, 0.0F);
      std::fill_n(dx + (2 * h + 2) * row - channels, channels, 0.0F);
    }
  }
  if (shape.height % 2 != 0) std::fill_n(dx + (shape.height - 1) * row, row, 0.0F);
}

}  // namespace wasmgrad::training::kernels
