// Pictures from files: JPEG and PNG, turned upright. It must not know what a picture is for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::tools {

/// Rows from top to bottom, `channels` bytes a pixel: red, green, blue, or grey.
struct Picture {
  std::uint32_t width = 0, height = 0, channels = 3;
  std::vector<std::uint8_t> pixels;
};

/// The picture in a JPEG or PNG file, in colour and without transparency. Errors: kInvalidEncoding (another
/// format, damaged), kTooLarge (above 100 million pixels).
Expected<Picture> decode_picture(std::span<const std::byte> file);

/// The orientation that a JPEG file's Exif data asks for, 1 to 8 as Exif numbers them; 1 without any.
int exif_orientation(std::span<const std::byte> jpeg) noexcept;

}  // namespace wasmgrad::tools
