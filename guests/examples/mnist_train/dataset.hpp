// The MNIST digits in guest memory: reading them from their IDX files, and splitting validation samples off.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace mnist {

inline constexpr std::uint32_t kSide = 28;
inline constexpr std::uint32_t kPixels = kSide * kSide;
inline constexpr std::uint32_t kClasses = 10;

/// Images [count, 1, 28, 28], row-major. Pixel is std::uint8_t (0..255) or float (0..1).
template <class Pixel>
struct Images {
  std::uint32_t count = 0;
  std::unique_ptr<Pixel[]> pixels;

  [[nodiscard]] std::span<const Pixel> rows(std::uint32_t first, std::uint32_t rows) const {
    return {pixels.get() + std::size_t{first} * kPixels, std::size_t{rows} * kPixels};
  }
};

/// Digits 0..9, one an image.
struct Labels {
  std::uint32_t count = 0;
  std::unique_ptr<std::int64_t[]> digits;

  [[nodiscard]] std::span<const std::int64_t> rows(std::uint32_t first, std::uint32_t rows) const {
    return {digits.get() + first, rows};
  }
};

/// Reads at most `limit` images. A file that is not exactly an MNIST image file ends the guest with a
/// sentence.
template <class Pixel>
Images<Pixel> read_images(const std::string& path, std::uint32_t limit);

/// Reads at most `limit` labels, which must be as many as the `images` (named in the error) has. The same for
/// a wrong file.
Labels read_labels(const std::string& path, std::uint32_t limit, const std::string& images_path);

/// Moves `count` samples, drawn at random from `seed`, to the end. The same seed always draws the same ones.
template <class Pixel>
void move_to_end(Images<Pixel>& images, Labels& labels, std::uint32_t count, std::uint64_t seed);

}  // namespace mnist
