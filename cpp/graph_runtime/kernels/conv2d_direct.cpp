// Convolution to few channels, or to few of each group: packing windows would cost more than it saves, so
// tiles read the picture itself. A picture with padding is first copied into a larger one.
#include "wasmgrad/graph_runtime/kernels/picture.hpp"
#include "wasmgrad/graph_runtime/kernels/tile.hpp"

namespace wg {
namespace {

class Direct {
 public:
  Direct(const Conv2d& d, const float* weights, const Epilogue& epilogue, float* y)
      : d_(d),
        weights_(weights),
        epilogue_(epilogue),
        y_(y),
        columns_(d.out_c / d.groups),
        run_(d.groups == 1 && d.dilation_w == 1 ? d.kernel_w * d.in_c : d.in_c / d.groups) {}

  void convolve(const Picture& picture, int image) const {
    const Grid grid = choose_grid(d_, picture.width, 1);
    const std::int32_t row_step = d_.dilation_h * picture.width * d_.in_c;
    for (int i = 0; i < d_.out_h; i += grid.rows) {
      const int row = smaller(i, d_.out_h - grid.rows);  // the last tiles may do some a second time
      const float* x = picture.pixels + row * d_.stride_h * picture.width * d_.in_c;
      for (int j = 0; j < d_.out_w; j += grid.columns) {
        const int column = smaller(j, d_.out_w - grid.columns);
        outputs(grid, x + column * d_.stride_w * d_.in_c, row_step,
                (image * d_.out_h + row) * d_.out_w + column);
      }
    }
  }

 private:
  // All channels of a tile, the first output of which is the pixel `pixel`.
  void outputs(const Grid& grid, const float* x, std::int32_t row_step, int pixel) const {
    const std::int32_t at = pixel * d_.out_c;
    const std::int32_t taps = d_.kernel_h * d_.kernel_w;
    const std::int32_t per_group = d_.in_c / d_.groups;
    const float* weights = weights_;
    const float* bias = epilogue_.bias;
    for (int group = 0; group < d_.groups; ++group, x += per_group) {
      for (int column = 0; column < columns_; column += kColumns) {
        const std::int32_t here = at + group * columns_ + column;
        const Place place{bias, epilogue_.residual != nullptr ? epilogue_.residual + here : nullptr,
                          y_ + here, d_.out_c, smaller(kColumns, columns_ - column)};
        if (place.columns <= kLanes) {
          narrow_tile(grid, x, row_step, weights, place);
        } else if (place.columns == kColumns) {
          tile<true>(grid, x, row_step, weights, place);
        } else {
          tile<false>(grid, x, row_step, weights, place);
        }
        if (epilogue_.activation.kind > Activation::Kind::kClip) {
          for (const std::int32_t part : grid.y)
            activate(epilogue_.activation.kind, {nullptr, nullptr, place.y + part, d_.out_c, place.columns},
                     1);
        }
        weights += taps * per_group * kColumns;
        bias += kColumns;
      }
    }
  }

  template <bool kWhole>
  [[gnu::noinline]] void tile(const Grid& grid, const float* window, std::int32_t row_step,
                              const float* weights, const Place& place) const {
    Partial sums[kTileParts] = {};
    const std::int32_t products = d_.kernel_w * (d_.in_c / d_.groups);
    const std::int32_t tap_step = d_.dilation_w * d_.in_c;
    const std::int32_t second = grid.x[1];
    const std::int32_t third = grid.x[2];
    const std::int32_t fourth = grid.x[3];
    for (const float* last = weights + d_.kernel_h * products * kColumns; weights != last;
         window += row_step) {
      const float* tap = window;
      for (const float* row_end = weights + products * kColumns; weights != row_end; tap += tap_step) {
        const float* x = tap;
        for (const float* end = x + run_; x != end; ++x, weights += kColumns) {
          detach(x);
          detach(weights);
          const Vector low = load(weights);
          const Vector high = load(weights + kLanes);
          const Vector values[kTileParts] = {splat(*x), splat(x[second]), splat(x[third]), splat(x[fourth])};
#pragma GCC unroll 4
          for (int i = 0; i < kTileParts; ++i) {
            sums[i].low = madd(values[i], low, sums[i].low);
            sums[i].high = madd(values[i], high, sums[i].high);
          }
        }
      }
    }
    end<kWhole>(grid, place, sums);
  }

  // No more channels than a vector has. Four sums would wait for one another, so there are four for every
  // second product.
  [[gnu::noinline]] void narrow_tile(const Grid& grid, const float* window, std::int32_t row_step,
                                     const float* weights, const Place& place) const {
    Vector sums[2][kTileParts] = {};
    const std::int32_t products = d_.kernel_w * (d_.in_c / d_.groups);
    const std::int32_t tap_step = d_.dilation_w * d_.in_c;
    const std::int32_t second = grid.x[1];
    const std::int32_t third = grid.x[2];
    const std::int32_t fourth = grid.x[3];
    const auto add = [&](const float* x, const float* with, Vector(&to)[kTileParts]) {
      const Vector w = load(with);
      const Vector values[kTileParts] = {splat(*x), splat(x[second]), splat(x[third]), splat(x[fourth])};
#pragma GCC unroll 4
      for (int i = 0; i < kTileParts; ++i) to[i] = madd(values[i], w, to[i]);
    };
    for (const float* last = weights + d_.kernel_h * products * kColumns; weights != last;
         window += row_step) {
      const float* tap = window;
      for (const float* row_end = weights + products * kColumns; weights != row_end; tap += tap_step) {
        const float* x = tap;
        for (const float* end = x + run_ / 2 * 2; x != end; x += 2, weights += 2 * kColumns) {
          detach(x);
          detach(weights);
          add(x, weights, sums[0]);
          add(x + 1, weights + kColumns, sums[1]);
        }
        if (run_ % 2 == 0) continue;
        add(x, weights, sums[0]);
        weights += kColumns;
      }
    }
    Partial totals[kTileParts];
#pragma GCC unroll 4
    for (int i = 0; i < kTileParts; ++i) totals[i] = {sums[0][i] + sums[1][i], Vector{}};
    end<false>(grid, place, totals);
  }

  // Bias, residual and bounds of a tile's sums, and then they are stored.
  template <bool kWhole>
  void end(const Grid& grid, const Place& place, Partial (&sums)[kTileParts]) const {
    const std::int32_t starts[kTileParts] = {0, grid.y[1], grid.y[2], grid.y[3]};
#pragma GCC unroll 4
    for (int i = 0; i < kTileParts; ++i) {
      const float* residual = place.residual != nullptr ? place.residual + starts[i] : nullptr;
      Partial part[1] = {sums[i]};
      finish<1, kWhole>(epilogue_.activation, {place.bias, residual, nullptr, 0, place.columns}, part);
      sums[i] = part[0];
    }
#pragma GCC unroll 4
    for (int i = 0; i < kTileParts; ++i) store_row<kWhole>(place.y + starts[i], sums[i], place.columns);
  }

  const Conv2d& d_;
  const float* weights_;
  const Epilogue& epilogue_;
  float* y_;
  std::int32_t columns_;  // of a group
  std::int32_t run_;      // products that adjoin in the picture: a row of the window, or one tap of it
};

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_direct(const std::int32_t* descriptor, const float* x, const float* weights,
                                const float* bias, const float* residual, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  const wg::Epilogue epilogue{bias, d.has_residual != 0 ? residual : nullptr, d.activation};
  const wg::Direct direct(d, weights, epilogue, y);
  for (int image = 0; image < d.batch; ++image) {
    direct.convolve(wg::picture(d, x, image, static_cast<float*>(scratch)), image);
  }
  return 0;
}
