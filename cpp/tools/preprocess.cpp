#include "wasmgrad/tools/preprocess.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

namespace wasmgrad::tools {

namespace {

using graph::Interpolation;
using graph::Preprocess;
using graph::TensorInfo;

double sinc(double x) { return x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x); }

// How far from its centre a filter reaches, in pixels.
double reach(Interpolation filter) {
  return filter == Interpolation::kBilinear ? 1 : filter == Interpolation::kBicubic ? 2 : 3;
}

double weight(Interpolation filter, double x) {
  x = std::abs(x);
  if (x >= reach(filter)) return 0;
  if (filter == Interpolation::kBilinear) return 1 - x;
  if (filter == Interpolation::kLanczos) return sinc(x) * sinc(x / 3);
  constexpr double kA = -0.5;  // Keys' cubic, exact for quadratic pictures
  if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  return (((x - 5) * x + 8) * x - 4) * kA;
}

// The pixels that make up one new pixel, and their shares, which add up to 1.
struct Source {
  std::uint32_t first = 0;
  std::vector<double> shares;
};

std::vector<Source> sources(std::uint32_t from, std::uint32_t to, Interpolation filter) {
  std::vector<Source> all(to);
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);
  for (std::uint32_t i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    if (filter == Interpolation::kNearest) {
      all[i] = {static_cast<std::uint32_t>(centre), {1}};
      continue;
    }
    const double radius = reach(filter) * stretch;
    // Every pixel whose middle lies within the radius.
    const auto first = static_cast<std::uint32_t>(std::lround(std::max(centre - radius, 0.0)));
    const auto end = std::min(static_cast<std::uint32_t>(std::lround(centre + radius)), from);
    all[i].first = first;
    for (std::uint32_t x = first; x < end; ++x)
      all[i].shares.push_back(weight(filter, (x - centre + 0.5) / stretch));
    const double total = std::accumulate(all[i].shares.begin(), all[i].shares.end(), 0.0);
    for (double& share : all[i].shares) share /= total;
  }
  return all;
}

std::uint8_t to_byte(double value) {
  return static_cast<std::uint8_t>(std::clamp(std::floor(value + 0.5), 0.0, 255.0));
}

// One direction of resize(). The pixel (line, i) begins at line * line_stride + i * step.
struct Axis {
  std::size_t line_stride, step;
};

void resample(const std::uint8_t* from, Axis in, std::uint8_t* to, Axis out, std::size_t lines,
              const std::vector<Source>& all, std::uint32_t channels) {
  for (std::size_t line = 0; line < lines; ++line) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::uint32_t c = 0; c < channels; ++c) {
        const std::uint8_t* pixel = from + line * in.line_stride + all[i].first * in.step + c;
        double sum = 0;
        for (std::size_t k = 0; k < all[i].shares.size(); ++k) sum += all[i].shares[k] * pixel[k * in.step];
        to[line * out.line_stride + i * out.step + c] = to_byte(sum);
      }
    }
  }
}

Picture grey(const Picture& picture) {
  Picture result{.width = picture.width, .height = picture.height, .channels = 1, .pixels = {}};
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3) {
    const std::uint8_t* pixel = &picture.pixels[i];
    result.pixels.push_back(to_byte(0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]));  // ITU-R BT.601
  }
  return result;
}

}  // namespace

Picture resize(const Picture& picture, std::uint32_t width, std::uint32_t height, Interpolation filter) {
  const std::size_t channels = picture.channels;
  Picture narrow{.width = width, .height = picture.height, .channels = picture.channels, .pixels = {}};
  narrow.pixels.resize(channels * width * picture.height);
  resample(picture.pixels.data(), {channels * picture.width, channels}, narrow.pixels.data(),
           {channels * width, channels}, picture.height, sources(picture.width, width, filter),
           picture.channels);
  Picture result{.width = width, .height = height, .channels = picture.channels, .pixels = {}};
  result.pixels.resize(channels * width * height);
  resample(narrow.pixels.data(), {channels, channels * width}, result.pixels.data(),
           {channels, channels * width}, width, sources(picture.height, height, filter), picture.channels);
  return result;
}

Expected<Preprocess> imagenet_preprocess(const TensorInfo& tensor) {
  const auto& shape = tensor.shape;
  constexpr std::uint64_t kMaxSide = 1 << 15;
  const bool first = shape.size() == 4 && shape[1] == 3;
  const bool last = shape.size() == 4 && shape[3] == 3;
  if (!first && !last) {
    return Error{Errc::kInvalidArgument, "input " + tensor.name + " takes no pictures; expected the shape " +
                                             "[1, 3, height, width] or [1, height, width, 3]"};
  }
  const std::uint64_t height = first ? shape[2] : shape[1], width = first ? shape[3] : shape[2];
  if (height == 0 || width == 0 || height > kMaxSide || width > kMaxSide) {
    return Error{Errc::kInvalidArgument, "input " + tensor.name + " takes no pictures of an ordinary size"};
  }
  Preprocess how;
  how.resize =
      static_cast<std::uint32_t>(std::lround(static_cast<double>(std::max(height, width)) * 256 / 224));
  how.height = static_cast<std::uint32_t>(height);
  how.width = static_cast<std::uint32_t>(width);
  how.interpolation = Interpolation::kBicubic;
  how.channels_last = !first;
  how.color = "RGB";
  how.scale = 1.0 / 255;
  how.mean = {0.485, 0.456, 0.406};
  how.std = {0.229, 0.224, 0.225};
  return how;
}

Expected<std::vector<float>> to_tensor(const Picture& picture, const Preprocess& how,
                                       const TensorInfo& tensor) {
  const std::uint64_t channels = how.mean.size();
  const std::vector<std::uint64_t> shape =
      how.channels_last ? std::vector<std::uint64_t>{1, how.height, how.width, channels}
                        : std::vector<std::uint64_t>{1, channels, how.height, how.width};
  if (tensor.dtype != "float32") {
    return Error{Errc::kUnsupportedOperation, "input " + tensor.name + " is of " + tensor.dtype +
                                                  "; pictures become tensors of float32 here"};
  }
  if (tensor.shape != shape) {
    return Error{Errc::kInvalidArgument,
                 "the preprocessing makes tensors of another shape than input " + tensor.name};
  }
  const Picture converted = how.color == "L" ? grey(picture) : picture;
  std::uint32_t width = how.width, height = how.height;
  if (how.resize) {
    const double factor = static_cast<double>(*how.resize) / std::min(picture.width, picture.height);
    width = static_cast<std::uint32_t>(std::lround(picture.width * factor));
    height = static_cast<std::uint32_t>(std::lround(picture.height * factor));
  }
  constexpr std::uint64_t kMaxPixels = 100'000'000;
  if (std::uint64_t{width} * height > kMaxPixels) {
    return Error{Errc::kTooLarge, "a picture of " + std::to_string(picture.width) + "x" +
                                      std::to_string(picture.height) +
                                      " pixels is too long and narrow to be resized"};
  }
  const Picture sized = resize(converted, width, height, how.interpolation);
  const std::size_t left = (width - how.width) / 2, top = (height - how.height) / 2;

  std::vector<float> values(channels * how.height * how.width);
  for (std::size_t c = 0; c < channels; ++c) {
    const std::size_t source = how.color == "BGR" ? channels - 1 - c : c;
    for (std::size_t y = 0; y < how.height; ++y) {
      for (std::size_t x = 0; x < how.width; ++x) {
        const double pixel = sized.pixels[((top + y) * width + left + x) * channels + source];
        const std::size_t place =
            how.channels_last ? (y * how.width + x) * channels + c : (c * how.height + y) * how.width + x;
        values[place] = static_cast<float>((pixel * how.scale - how.mean[c]) / how.std[c]);
      }
    }
  }
  return values;
}

std::vector<Class> best_classes(std::span<const float> scores, std::size_t count) {
  std::vector<Class> classes;
  for (std::size_t i = 0; i < scores.size(); ++i) classes.push_back({i, scores[i]});
  const auto total = [&] {
    return std::accumulate(classes.begin(), classes.end(), 0.0,
                           [](double sum, const Class& one) { return sum + one.probability; });
  };
  const bool probabilities =
      std::ranges::all_of(scores, [](float score) { return score >= 0; }) && std::abs(total() - 1) < 1e-3;
  if (!probabilities && classes.size() > 1) {
    const double highest = std::ranges::max(scores);
    for (Class& one : classes) one.probability = std::exp(one.probability - highest);
    const double sum = total();
    for (Class& one : classes) one.probability /= sum;
  }
  std::ranges::stable_sort(classes, std::ranges::greater(), &Class::probability);
  if (classes.size() > count) classes.resize(count);
  return classes;
}

}  // namespace wasmgrad::tools
