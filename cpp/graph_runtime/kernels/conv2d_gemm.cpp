// Convolution of any shape as a matrix product: windows go straight into the GEMM's panels, there is no
// im2col matrix.
#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"
#include "wasmgrad/graph_runtime/kernels/gemm.hpp"
#include "wasmgrad/graph_runtime/threads/parallel.hpp"

namespace wg {
namespace {

// Packs the products [k, k + depth) of windows, in the order (kernel row, kernel column, channel). A window
// is walked in runs that are contiguous in memory: a kernel row when columns and channels adjoin, else one
// tap.
class WindowPacker {
 public:
  WindowPacker(const Conv2d& d, const float* x)
      : d_(d),
        x_(x),
        channels_(d.in_c / d.groups),
        adjoining_(d.dilation_w == 1 && d.groups == 1),
        run_products_(adjoining_ ? d.kernel_w * channels_ : channels_) {}

  // kRows neighbours in one row of outputs whose windows lie in the picture from left to right.
  bool packs_panel(const Pixel& pixel) const {
    const int left = pixel.x * d_.stride_w - d_.pad_left;
    return adjoining_ && pixel.x + kRows <= d_.out_w && left >= 0 &&
           left + (kRows - 1) * d_.stride_w + d_.kernel_w <= d_.in_w;
  }

  void pack_panel(const Pixel& pixel, int k, int depth, float* panel) const {
    const int left = pixel.x * d_.stride_w - d_.pad_left;
    for_each_run(pixel, k, depth, [&](const float* row, int /*tap*/, int begin, int count) {
      if (row != nullptr) {
        wg::pack_panel(row + left * d_.in_c + begin, d_.stride_w * d_.in_c, count, panel);
      } else {
        for (int i = 0; i < kRows; ++i) pack_zeros(count, kRows, panel + i * kSplat);
      }
      panel += count * kRows * kSplat;
    });
  }

  // Any window, as one of `rows` in a panel.
  void pack_row(const Pixel& pixel, int k, int depth, int rows, float* panel) const {
    const int left = pixel.x * d_.stride_w - d_.pad_left;
    for_each_run(pixel, k, depth, [&](const float* row, int tap, int begin, int count) {
      if (row == nullptr) {
        pack_zeros(count, rows, panel);
      } else if (adjoining_) {
        pack_run(row, left * d_.in_c + begin, count, rows, panel);
      } else {
        const int x = left + tap * d_.dilation_w;
        if (x >= 0 && x < d_.in_w) {
          pack(row + x * d_.in_c + begin, count, rows, panel);
        } else {
          pack_zeros(count, rows, panel);
        }
      }
      panel += count * rows * kSplat;
    });
  }

 private:
  // Calls visit(row of the picture or null outside of it, tap, first product of the run, number of products).
  template <typename Visit>
  void for_each_run(const Pixel& pixel, int k, int depth, Visit visit) const {
    const int top = pixel.y * d_.stride_h - d_.pad_top;
    const float* image = x_ + pixel.image * d_.in_h * d_.in_w * d_.in_c;
    const int runs = adjoining_ ? 1 : d_.kernel_w;
    int begin = k % run_products_;
    int tap = k / run_products_ % runs;
    int y = top + k / run_products_ / runs * d_.dilation_h;
    while (depth > 0) {
      const int count = smaller(run_products_ - begin, depth);
      visit(y >= 0 && y < d_.in_h ? image + y * d_.in_w * d_.in_c : nullptr, tap, begin, count);
      depth -= count;
      begin = 0;
      if (++tap == runs) {
        tap = 0;
        y += d_.dilation_h;
      }
    }
  }

  // `count` floats of a row from `begin` on; what lies left and right of the picture is zero.
  void pack_run(const float* row, int begin, int count, int rows, float* panel) const {
    const int step = rows * kSplat;
    const int end = begin + count;
    const int first = smaller(larger(begin, 0), end);
    const int last = larger(smaller(end, d_.in_w * d_.in_c), first);
    if (first > begin) pack_zeros(first - begin, rows, panel);
    if (last > first) pack(row + first, last - first, rows, panel + (first - begin) * step);
    if (end > last) pack_zeros(end - last, rows, panel + (last - begin) * step);
  }

  const Conv2d& d_;
  const float* x_;
  int channels_;
  bool adjoining_;
  int run_products_;
};

Pixel next(Pixel pixel, const Conv2d& d) {
  if (++pixel.x == d.out_w) {
    pixel.x = 0;
    if (++pixel.y == d.out_h) {
      pixel.y = 0;
      ++pixel.image;
    }
  }
  return pixel;
}

// `rows` windows from `pixel` on to panels; returns the pixel after them.
Pixel pack_windows(const Conv2d& d, const WindowPacker& packer, Pixel pixel, int rows, int k, int depth,
                   float* panels) {
  for (int i = 0; i < rows;) {
    if (i % kRows == 0 && i + kRows <= rows && packer.packs_panel(pixel)) {
      packer.pack_panel(pixel, k, depth, place(panels, i, depth));
      for (int j = 0; j < kRows; ++j) pixel = next(pixel, d);
      i += kRows;
    } else {
      packer.pack_row(pixel, k, depth, rows_of_panel(i, rows), place(panels, i, depth));
      pixel = next(pixel, d);
      ++i;
    }
  }
  return pixel;
}

struct Group {
  const float* x;
  const float* weights;
  Epilogue epilogue;
  float* y;
};

// Some pixels, from the begin of a tile on, of some groups of columns.
void convolve_part(const Conv2d& d, const Group& group, float* panels, Range pixels, Range columns) {
  const WindowPacker packer(d, group.x);
  const int k_total = d.kernel_h * d.kernel_w * (d.in_c / d.groups);
  const float* weights = group.weights + columns.begin * k_total;
  Pixel first = pixel_at(pixels.begin, d.out_h, d.out_w);
  for (int done = pixels.begin; done < pixels.end; done += d.row_block) {
    const int rows = smaller(d.row_block, pixels.end - done);
    const Epilogue here = group.epilogue.from(done * d.out_c, columns.begin);
    Pixel after{};
    for (int k = 0; k < k_total; k += d.depth_block) {
      const int depth = smaller(d.depth_block, k_total - k);
      after = pack_windows(d, packer, first, rows, k, depth, panels);
      run({panels, rows, depth, weights + k * kColumns, k_total * kColumns, columns.end - columns.begin,
           group.y + done * d.out_c + columns.begin, d.out_c, k == 0,
           k + depth == k_total ? &here : nullptr});
    }
    first = after;
  }
}

void convolve_group(const Conv2d& d, const Group& group, void* scratch) {
  const std::int64_t cost = std::int64_t{2} * d.kernel_h * d.kernel_w * (d.in_c / d.groups);
  in_parallel(d.batch * d.out_h * d.out_w, d.row_block, d.out_c / d.groups, kColumnStep, cost, scratch,
              [&](Range pixels, Range columns, void* panels) {
                convolve_part(d, group, static_cast<float*>(panels), pixels, columns);
              });
}

}  // namespace
}  // namespace wg

extern "C" int wg_conv2d_gemm(const std::int32_t* descriptor, const float* x, const float* weights,
                              const float* bias, const float* residual, float* y, void* scratch) {
  const auto& d = *reinterpret_cast<const wg::Conv2d*>(descriptor);
  const int columns = d.out_c / d.groups;
  const int padded = (columns + wg::kColumns - 1) / wg::kColumns * wg::kColumns;
  const int k = d.kernel_h * d.kernel_w * (d.in_c / d.groups);
  const std::int64_t cost = std::int64_t{2} * d.batch * d.out_h * d.out_w * columns * k;
  const auto convolve = [&](wg::Range groups, void* memory) {
    for (int group = groups.begin; group < groups.end; ++group) {
      const wg::Epilogue epilogue{bias + group * padded,
                                  d.has_residual != 0 ? residual + group * columns : nullptr, d.activation};
      wg::convolve_group(
          d, {x + group * (d.in_c / d.groups), weights + group * padded * k, epilogue, y + group * columns},
          memory);
    }
  };
  if (d.groups < wg::kFewParts) {
    convolve({0, d.groups}, scratch);  // each in parallel
  } else {
    wg::in_parallel(d.groups, cost, scratch, convolve);
  }
  return 0;
}
