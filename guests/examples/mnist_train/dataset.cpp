// See dataset.hpp.
#include "dataset.hpp"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "idx.hpp"
#include "wasmgrad/fail.hpp"
#include "wasmgrad/random.hpp"

namespace mnist {

namespace {

constexpr std::array kImageShape{kSide, kSide};

IdxFile open_images(const std::string& path) { return {path, "images", kImageShape}; }
IdxFile open_labels(const std::string& path) { return {path, "labels", {}}; }

}  // namespace

template <class Pixel>
Images<Pixel> read_images(const std::string& path, std::uint32_t limit) {
  IdxFile file = open_images(path);
  const std::uint32_t count = std::min(limit, file.samples());
  const std::size_t size = std::size_t{count} * kPixels;
  Images<Pixel> images{count, std::make_unique_for_overwrite<Pixel[]>(size)};
  if constexpr (std::is_same_v<Pixel, std::uint8_t>) {
    file.read({images.pixels.get(), size});
  } else {
    std::array<std::uint8_t, 64 * kPixels> block;
    for (std::size_t done = 0; done < size;) {
      const std::span part = std::span(block).first(std::min(block.size(), size - done));
      file.read(part);
      std::ranges::transform(part, images.pixels.get() + done,
                             [](std::uint8_t pixel) { return pixel / 255.0f; });
      done += part.size();
    }
  }
  return images;
}

Labels read_labels(const std::string& path, std::uint32_t limit, const std::string& images_path) {
  IdxFile file = open_labels(path);
  if (const IdxFile images = open_images(images_path); images.samples() != file.samples()) {
    wasmgrad::fail("%s: expected %u labels, one for each image of %s, found %u", path.c_str(),
                   images.samples(), images_path.c_str(), file.samples());
  }
  const std::uint32_t count = std::min(limit, file.samples());
  const auto bytes = std::make_unique_for_overwrite<std::uint8_t[]>(count);
  file.read({bytes.get(), count});
  Labels labels{count, std::make_unique_for_overwrite<std::int64_t[]>(count)};
  for (std::uint32_t i = 0; i < count; ++i) {
    if (bytes[i] >= kClasses) {
      wasmgrad::fail("%s: label %u: expected a digit from 0 to %u, found %u", path.c_str(), i, kClasses - 1,
                     bytes[i]);
    }
    labels.digits[i] = bytes[i];
  }
  return labels;
}

template <class Pixel>
void move_to_end(Images<Pixel>& images, Labels& labels, std::uint32_t count, std::uint64_t seed) {
  wasmgrad::Random random(seed);
  for (std::uint32_t moved = 0; moved < count; ++moved) {
    const std::uint32_t last = images.count - 1 - moved;
    const std::uint32_t drawn = random.below(last + 1);
    if (drawn == last) continue;
    Pixel* const row = images.pixels.get() + std::size_t{drawn} * kPixels;
    std::swap_ranges(row, row + kPixels, images.pixels.get() + std::size_t{last} * kPixels);
    std::swap(labels.digits[drawn], labels.digits[last]);
  }
}

template Images<std::uint8_t> read_images(const std::string&, std::uint32_t);
template Images<float> read_images(const std::string&, std::uint32_t);
template void move_to_end(Images<std::uint8_t>&, Labels&, std::uint32_t, std::uint64_t);
template void move_to_end(Images<float>&, Labels&, std::uint32_t, std::uint64_t);

}  // namespace mnist
