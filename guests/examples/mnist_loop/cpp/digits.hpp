// The MNIST digits as this guest hands them on: a few at a time, so that its memory stays small.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "../../mnist_train/idx.hpp"
#include "wasmgrad/training_v1.hpp"

namespace mnist {

/// One of the two sets: a file of images and one of labels.
class Digits {
 public:
  static constexpr std::uint32_t kSide = 28;
  static constexpr std::uint32_t kPixels = kSide * kSide;

  /// `set` is "train" or "t10k".
  Digits(const std::string& directory, const std::string& set)
      : images_(directory + "/" + set + "-images-idx3-ubyte", "images", std::array{kSide, kSide}),
        labels_(directory + "/" + set + "-labels-idx1-ubyte", "labels", {}) {
    if (images_.samples() != labels_.samples()) {
      wasmgrad::fail("%s: expected %u labels, one for each image of %s, found %u", labels_.path().c_str(),
                     images_.samples(), images_.path().c_str(), labels_.samples());
    }
  }

  [[nodiscard]] std::uint32_t count() const noexcept { return images_.samples(); }

  /// Some digits in memory.
  struct Block {
    std::vector<std::uint8_t> pixels;
    std::vector<std::int64_t> classes;

    [[nodiscard]] std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(classes.size()); }
    [[nodiscard]] wasmgrad::v1::Tensor inputs() const { return {pixels, {count(), 1, kSide, kSide}}; }
    [[nodiscard]] wasmgrad::v1::Tensor targets() const { return {classes, {count()}}; }
  };

  /// The next `count` digits.
  Block read(std::uint32_t count) {
    Block block;
    append(block, count);
    return block;
  }

  /// The digits with these numbers.
  Block read(std::span<const std::uint32_t> numbers) {
    Block block;
    for (const std::uint32_t number : numbers) {
      images_.seek(number);
      labels_.seek(number);
      append(block, 1);
    }
    return block;
  }

 private:
  void append(Block& block, std::uint32_t count) {
    const std::size_t first = block.classes.size();
    block.pixels.resize((first + count) * kPixels);
    images_.read(std::span(block.pixels).subspan(first * kPixels));
    bytes_.resize(count);
    labels_.read(bytes_);
    block.classes.insert(block.classes.end(), bytes_.begin(), bytes_.end());
  }

  IdxFile images_;
  IdxFile labels_;
  std::vector<std::uint8_t> bytes_;
};

}  // namespace mnist
