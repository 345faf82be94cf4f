#include "wasmgrad/tools/picture.hpp"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace wasmgrad::tools {

namespace {

constexpr std::uint64_t kMaxPixels = 100'000'000;

bool starts_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() &&
         std::ranges::equal(file.first(magic.size()), std::as_bytes(std::span(magic)));
}

Status check_size(std::uint64_t width, std::uint64_t height) {
  if (width * height <= kMaxPixels) return {};
  return Error{Errc::kTooLarge, "a picture of " + std::to_string(width) + "x" + std::to_string(height) +
                                    " pixels; at most " + std::to_string(kMaxPixels) + " are taken"};
}

Error undecodable(const std::string& format, const std::string& reason) {
  return {Errc::kInvalidEncoding, "a " + format + " file that cannot be decoded: " + reason};
}

Expected<Picture> decode_png(std::span<const std::byte> file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, decltype(&png_image_free)> owner(&image, png_image_free);
  if (png_image_begin_read_from_memory(&image, file.data(), file.size()) == 0) {
    return undecodable("PNG", image.message);
  }
  WASMGRAD_CHECK(check_size(image.width, image.height));
  // With the alpha channel, which is then dropped: the colours below it are not blended with any background.
  image.format = PNG_FORMAT_RGBA;
  std::vector<std::uint8_t> rgba(PNG_IMAGE_SIZE(image));
  Picture picture{.width = image.width, .height = image.height, .channels = 3, .pixels = {}};
  if (png_image_finish_read(&image, nullptr, rgba.data(), 0, nullptr) == 0)
    return undecodable("PNG", image.message);
  picture.pixels.reserve(rgba.size() / 4 * 3);
  for (std::size_t i = 0; i < rgba.size(); i += 4) {
    picture.pixels.insert(picture.pixels.end(), &rgba[i], &rgba[i] + 3);
  }
  return picture;
}

// Turns a picture as its orientation asks for.
Picture upright(Picture picture, int orientation) {
  if (orientation == 1) return picture;
  const bool transposed = orientation >= 5;
  const bool mirrored = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flipped = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Picture turned{.width = transposed ? picture.height : picture.width,
                 .height = transposed ? picture.width : picture.height,
                 .channels = picture.channels,
                 .pixels = {}};
  turned.pixels.reserve(picture.pixels.size());
  for (std::uint32_t y = 0; y < turned.height; ++y) {
    for (std::uint32_t x = 0; x < turned.width; ++x) {
      std::uint32_t column = transposed ? y : x, row = transposed ? x : y;
      if (mirrored) column = picture.width - 1 - column;
      if (flipped) row = picture.height - 1 - row;
      const auto* pixel = &picture.pixels[(std::size_t{row} * picture.width + column) * picture.channels];
      turned.pixels.insert(turned.pixels.end(), pixel, pixel + picture.channels);
    }
  }
  return turned;
}

Expected<Picture> decode_jpeg(std::span<const std::byte> file) {
  const std::unique_ptr<std::remove_pointer_t<tjhandle>, decltype(&tjDestroy)> decoder(tjInitDecompress(),
                                                                                       tjDestroy);
  const auto failed = [&] { return undecodable("JPEG", tjGetErrorStr2(decoder.get())); };
  const auto* bytes = reinterpret_cast<const unsigned char*>(file.data());
  int width = 0, height = 0, subsampling = 0, colors = 0;
  if (tjDecompressHeader3(decoder.get(), bytes, file.size(), &width, &height, &subsampling, &colors) != 0) {
    return failed();
  }
  WASMGRAD_CHECK(check_size(static_cast<std::uint64_t>(width), static_cast<std::uint64_t>(height)));
  Picture picture{.width = static_cast<std::uint32_t>(width),
                  .height = static_cast<std::uint32_t>(height),
                  .channels = 3,
                  .pixels = std::vector<std::uint8_t>(std::size_t{3} * width * height)};
  constexpr int kFlags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING;
  if (tjDecompress2(decoder.get(), bytes, file.size(), picture.pixels.data(), width, 0, height, TJPF_RGB,
                    kFlags) != 0) {
    return failed();
  }
  return upright(std::move(picture), exif_orientation(file));
}

// Numbers of a TIFF structure, in either byte order. What lies outside the bytes reads as 0.
struct Tiff {
  std::span<const std::byte> bytes;
  bool big_endian;

  [[nodiscard]] std::uint32_t read(std::size_t offset, std::size_t size) const {
    if (offset > bytes.size() || size > bytes.size() - offset) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t place = big_endian ? i : size - 1 - i;
      value = value << 8 | std::to_integer<std::uint32_t>(bytes[offset + place]);
    }
    return value;
  }
};

}  // namespace

int exif_orientation(std::span<const std::byte> jpeg) noexcept {
  constexpr std::uint32_t kExifMarker = 0xffe1, kScanMarker = 0xffda, kOrientationTag = 0x0112;
  constexpr std::string_view kExif("Exif\0\0", 6);
  const Tiff markers{jpeg, true};
  // Each segment: a marker, and a length that includes itself.
  for (std::size_t at = 2; at + 4 <= jpeg.size();) {
    const std::uint32_t marker = markers.read(at, 2), length = markers.read(at + 2, 2);
    if (marker == kScanMarker || length < 2 || length > jpeg.size() - at - 2) return 1;
    const auto segment = jpeg.subspan(at + 4, length - 2);
    at += 2 + std::size_t{length};
    if (marker != kExifMarker || !starts_with(segment, kExif)) continue;
    const auto contents = segment.subspan(kExif.size());
    const Tiff tiff{contents, starts_with(contents, "MM")};
    const std::size_t directory = tiff.read(4, 4);
    const std::uint32_t entries = tiff.read(directory, 2);
    for (std::uint32_t i = 0; i < entries; ++i) {
      const std::size_t entry = directory + 2 + std::size_t{12} * i;
      if (tiff.read(entry, 2) != kOrientationTag) continue;
      const std::uint32_t orientation = tiff.read(entry + 8, 2);
      return orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
    }
  }
  return 1;
}

Expected<Picture> decode_picture(std::span<const std::byte> file) {
  if (starts_with(file, "\x89PNG\r\n\x1a\n")) return decode_png(file);
  if (starts_with(file, "\xff\xd8\xff")) return decode_jpeg(file);
  return Error{Errc::kInvalidEncoding, "not a picture: expected a JPEG or PNG file"};
}

}  // namespace wasmgrad::tools
