#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "wasmgrad/training/torch/kernels/max_pool.hpp"

namespace wasmgrad::training::kernels {
namespace {

struct Pooled {
  std::vector<float> y, dx;
  std::vector<std::uint8_t> argmax;
};

Pooled pool(const std::vector<float>& x, const PoolShape& shape, bool relu, const std::vector<float>& dy) {
  Pooled result{std::vector<float>(dy.size()), std::vector<float>(x.size(), -9),
                std::vector<std::uint8_t>(dy.size())};
  max_pool_forward(x.data(), shape, relu, result.y.data(), result.argmax.data());
  max_pool_backward(dy.data(), result.argmax.data(), shape, result.dx.data());
  return result;
}

/// The definition, one window and channel at a time.
Pooled pool_by_definition(const std::vector<float>& x, const PoolShape& s, bool relu,
                          const std::vector<float>& dy) {
  Pooled result{std::vector<float>(dy.size()), std::vector<float>(x.size(), 0), {}};
  for (std::int64_t h = 0; h < s.out_height(); ++h)
    for (std::int64_t w = 0; w < s.out_width(); ++w)
      for (std::int64_t c = 0; c < s.channels; ++c) {
        std::array<std::size_t, 4> window{};
        for (std::int64_t k = 0; k < 4; ++k)
          window[static_cast<std::size_t>(k)] =
              static_cast<std::size_t>(((2 * h + k / 2) * s.width + 2 * w + k % 2) * s.channels + c);
        const std::size_t best = *std::max_element(window.begin(), window.end(),
                                                   [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
        const auto out = static_cast<std::size_t>((h * s.out_width() + w) * s.channels + c);
        const bool dead = relu && x[best] <= 0;
        result.y[out] = dead ? 0 : x[best];
        if (!dead) result.dx[best] = dy[out];
      }
  return result;
}

}  // namespace

TEST_CASE("pooling and its gradient follow the definition on ragged shapes") {
  for (const PoolShape shape : {PoolShape{2, 2, 1}, {4, 6, 4}, {5, 7, 6}, {28, 28, 3}, {10, 9, 16}}) {
    for (const bool relu : {false, true}) {
      CAPTURE(shape.height);
      CAPTURE(shape.channels);
      CAPTURE(relu);
      std::vector<float> x(static_cast<std::size_t>(shape.height * shape.width * shape.channels));
      for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>((i * 7919) % 31) - 22;  // with ties and signs
      std::vector<float> dy(
          static_cast<std::size_t>(shape.out_height() * shape.out_width() * shape.channels));
      for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = static_cast<float>(i + 1);
      const Pooled found = pool(x, shape, relu, dy);
      const Pooled expected = pool_by_definition(x, shape, relu, dy);
      CHECK(found.y == expected.y);
      CHECK(found.dx == expected.dx);
    }
  }
}

TEST_CASE("a NaN in a window is not hidden") {
  const std::vector<float> x{1, std::numeric_limits<float>::quiet_NaN(), 3, 2};
  CHECK(std::isnan(pool(x, {2, 2, 1}, true, {1}).y[0]));
}

}  // namespace wasmgrad::training::kernels
