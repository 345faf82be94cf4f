#include "picture.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "wasmgrad/fail.hpp"

namespace {

constexpr std::uint32_t kChannels = 3;
constexpr float kMean[kChannels] = {0.485F, 0.456F, 0.406F};
constexpr float kDeviation[kChannels] = {0.229F, 0.224F, 0.225F};

/// One row of `from` values, a stride apart, as `to` values: a triangle as wide as two pixels of the coarser
/// side.
void resample(const float* source, std::uint32_t from, std::uint32_t stride, float* target, std::uint32_t to,
              std::uint32_t target_stride) {
  const float ratio = static_cast<float>(from) / static_cast<float>(to);
  const float reach = std::max(ratio, 1.0F);
  for (std::uint32_t i = 0; i < to; ++i) {
    const float centre = (static_cast<float>(i) + 0.5F) * ratio;
    const auto first = static_cast<std::uint32_t>(std::max(0.0F, std::floor(centre - reach)));
    const auto last = std::min(from, static_cast<std::uint32_t>(std::ceil(centre + reach)));
    float sum = 0, weights = 0;
    for (std::uint32_t j = first; j < last; ++j) {
      const float distance = std::abs(static_cast<float>(j) + 0.5F - centre) / reach;
      const float weight = std::max(0.0F, 1.0F - distance);
      sum += weight * source[j * stride];
      weights += weight;
    }
    target[i * target_stride] = sum / weights;
  }
}

Picture resize(const Picture& picture, std::uint32_t width, std::uint32_t height) {
  Picture narrow{width, picture.height, std::vector<float>(std::size_t{kChannels} * width * picture.height)};
  for (std::uint32_t y = 0; y < picture.height; ++y) {
    for (std::uint32_t c = 0; c < kChannels; ++c) {
      resample(&picture.values[std::size_t{kChannels} * y * picture.width + c], picture.width, kChannels,
               &narrow.values[std::size_t{kChannels} * y * width + c], width, kChannels);
    }
  }
  Picture result{width, height, std::vector<float>(std::size_t{kChannels} * width * height)};
  for (std::uint32_t column = 0; column < kChannels * width; ++column) {
    resample(&narrow.values[column], picture.height, kChannels * width, &result.values[column], height,
             kChannels * width);
  }
  return result;
}

}  // namespace

Picture read_ppm(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) wasmgrad::fail("%s: cannot be opened", path.c_str());
  Picture picture;
  unsigned maximum = 0;
  if (std::fscanf(file, "P6 %u %u %u", &picture.width, &picture.height, &maximum) != 3 ||
      std::fgetc(file) == EOF || maximum != 255 || picture.width == 0 || picture.height == 0 ||
      picture.width > 20000 || picture.height > 20000) {
    wasmgrad::fail("%s: expected a binary PPM picture with 8 bits a colour", path.c_str());
  }
  std::vector<unsigned char> bytes(std::size_t{kChannels} * picture.width * picture.height);
  if (std::fread(bytes.data(), 1, bytes.size(), file) != bytes.size())
    wasmgrad::fail("%s: ends before its last pixel", path.c_str());
  std::fclose(file);
  picture.values.assign(bytes.begin(), bytes.end());
  return picture;
}

std::vector<float> imagenet_tensor(const Picture& picture, std::uint32_t side) {
  const double scale =
      static_cast<double>(side) * 256 / 224 / static_cast<double>(std::min(picture.width, picture.height));
  const auto scaled = [&](std::uint32_t length) {
    return static_cast<std::uint32_t>(std::lround(length * scale));
  };
  const Picture resized = resize(picture, scaled(picture.width), scaled(picture.height));
  const std::uint32_t left = (resized.width - side) / 2, top = (resized.height - side) / 2;
  std::vector<float> tensor(std::size_t{kChannels} * side * side);
  for (std::uint32_t c = 0; c < kChannels; ++c) {
    for (std::uint32_t y = 0; y < side; ++y) {
      for (std::uint32_t x = 0; x < side; ++x) {
        const float value = resized.values[(std::size_t{top + y} * resized.width + left + x) * kChannels + c];
        tensor[(std::size_t{c} * side + y) * side + x] = (value / 255.0F - kMean[c]) / kDeviation[c];
      }
    }
  }
  return tensor;
}
