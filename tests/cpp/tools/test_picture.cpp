// Decoding: the right pixels, upright, and a sentence for what is no picture.
#include <doctest/doctest.h>
#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <memory>
#include <string>

#include "../support.hpp"
#include "wasmgrad/tools/picture.hpp"

using namespace wasmgrad;
using namespace wasmgrad::tools;
using namespace wasmgrad::test;

namespace {

// 48 x 32 pixels, with another colour in each quarter.
Picture quarters() {
  Picture picture{.width = 48, .height = 32, .channels = 3, .pixels = {}};
  for (std::uint32_t y = 0; y < 32; ++y) {
    for (std::uint32_t x = 0; x < 48; ++x) {
      const std::uint8_t right = x < 24 ? 0 : 200, low = y < 16 ? 0 : 200;
      picture.pixels.insert(picture.pixels.end(), {right, low, 100});
    }
  }
  return picture;
}

std::vector<std::byte> png_of(const Picture& picture, std::uint32_t format) {
  std::vector<std::uint8_t> pixels;
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3) {
    pixels.insert(pixels.end(), &picture.pixels[i], &picture.pixels[i] + 3);
    if (format == PNG_FORMAT_RGBA) pixels.push_back(0);  // all of it transparent
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = picture.width;
  image.height = picture.height;
  image.format = format;
  png_alloc_size_t size = 0;
  REQUIRE(png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr) != 0);
  std::vector<std::byte> file(size);
  REQUIRE(png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr) != 0);
  return file;
}

std::vector<std::byte> jpeg_of(const Picture& picture) {
  const auto encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): the library's type
  REQUIRE(tjCompress2(encoder, picture.pixels.data(), static_cast<int>(picture.width), 0,
                      static_cast<int>(picture.height), TJPF_RGB, &bytes, &size, TJSAMP_444, 95, 0) == 0);
  const auto* begin = reinterpret_cast<const std::byte*>(bytes);
  std::vector<std::byte> file(begin, begin + size);
  tjFree(bytes);
  tjDestroy(encoder);
  return file;
}

// The JPEG file with Exif data that asks for an orientation, big-endian or little-endian.
std::vector<std::byte> oriented(std::vector<std::byte> jpeg, char orientation, bool big_endian) {
  using namespace std::string_literals;
  std::string segment = "\xff\xe1\0\x22"s + "Exif\0\0"s;
  if (big_endian) {
    segment += "MM\0\x2a\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0"s + orientation + "\0\0\0\0\0\0"s;
  } else {
    segment += "II\x2a\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0"s + orientation + "\0\0\0\0\0\0\0"s;
  }
  const auto bytes = bytes_of(segment);
  jpeg.insert(jpeg.begin() + 2, bytes.begin(), bytes.end());
  return jpeg;
}

Picture decoded(const std::vector<std::byte>& file) {
  auto picture = decode_picture(file);
  REQUIRE_MESSAGE(picture, (picture ? "" : picture.error().message));
  return std::move(picture).value();
}

// Whether the left upper, right upper, left lower and right lower quarter are on the right and low: "rl"
// each.
std::string corners(const Picture& picture) {
  std::string all;
  for (const auto& [x, y] :
       {std::pair{4U, 4U}, std::pair{picture.width - 5, 4U}, std::pair{4U, picture.height - 5},
        std::pair{picture.width - 5, picture.height - 5}}) {
    const std::uint8_t* pixel = &picture.pixels[(std::size_t{y} * picture.width + x) * 3];
    all += pixel[0] > 100 ? 'r' : '-';
    all += pixel[1] > 100 ? 'l' : '-';
  }
  return all;
}

}  // namespace

TEST_CASE("a PNG file is decoded exactly, its transparency dropped") {
  const Picture original = quarters();
  for (const std::uint32_t format : {PNG_FORMAT_RGB, PNG_FORMAT_RGBA}) {
    const Picture picture = decoded(png_of(original, format));
    CHECK(picture.width == 48);
    CHECK(picture.height == 32);
    CHECK(picture.pixels == original.pixels);
  }
}

TEST_CASE("a JPEG file is decoded") {
  const Picture original = quarters(), picture = decoded(jpeg_of(original));
  CHECK(picture.width == 48);
  CHECK(picture.height == 32);
  REQUIRE(picture.pixels.size() == original.pixels.size());
  CHECK(corners(picture) == corners(original));
  CHECK(
      std::ranges::equal(picture.pixels, original.pixels, [](int a, int b) { return std::abs(a - b) < 8; }));
}

TEST_CASE("a picture is turned upright") {
  const std::vector<std::byte> jpeg = jpeg_of(quarters());
  const char* const expected[] = {"--r--lrl", "r---rl-l", "rl-lr---", "-lrl--r-",
                                  "---lr-rl", "-l--rlr-", "rlr--l--", "r-rl---l"};
  for (char orientation = 1; orientation <= 8; ++orientation) {
    for (const bool big_endian : {false, true}) {
      CAPTURE(int{orientation});
      const std::vector<std::byte> file = oriented(jpeg, orientation, big_endian);
      CHECK(exif_orientation(file) == orientation);
      const Picture picture = decoded(file);
      CHECK(picture.width == (orientation < 5 ? 48 : 32));
      CHECK(picture.height == (orientation < 5 ? 32 : 48));
      CHECK(corners(picture) == expected[orientation - 1]);
    }
  }
}

TEST_CASE("Exif data that is cut off or absurd turns nothing") {
  const std::vector<std::byte> file = oriented(jpeg_of(quarters()), 6, true);
  for (std::size_t length = 0; length < 36; ++length)
    CHECK(exif_orientation(std::span(file).first(length)) == 1);
  CHECK(exif_orientation(oriented(file, 9, true)) == 1);
  CHECK(exif_orientation(oriented(file, 0, false)) == 1);
}

TEST_CASE("what is no picture, or only the first half of one, is told") {
  CHECK(error_of(decode_picture({})).message == "not a picture: expected a JPEG or PNG file");
  CHECK(error_of(decode_picture(bytes_of("GIF89a"))).code == Errc::kInvalidEncoding);
  for (const auto& file : {png_of(quarters(), PNG_FORMAT_RGB), jpeg_of(quarters())}) {
    for (const std::size_t length : {std::size_t{8}, file.size() / 2, file.size() - 20}) {
      const Error error = error_of(decode_picture(std::span(file).first(length)));
      CHECK(error.code == Errc::kInvalidEncoding);
      CHECK_MESSAGE(error.message.find("that cannot be decoded: ") != std::string::npos, error.message);
    }
  }
}

TEST_CASE("a picture that claims to be enormous is refused before any memory is taken") {
  std::vector<std::byte> png = png_of(quarters(), PNG_FORMAT_RGB);
  // Width and height of the header chunk, whose checksum then is another.
  std::ranges::copy(bytes_of(std::string_view("\0\0\x7f\xff\0\0\x7f\xff", 8)), png.begin() + 16);
  CHECK_FALSE(decode_picture(png));
  std::vector<std::byte> jpeg = jpeg_of(quarters());
  const auto frame = std::ranges::search(jpeg, bytes_of("\xff\xc0"));
  REQUIRE(!frame.empty());
  std::ranges::copy(bytes_of("\x7f\xff\x7f\xff"), frame.begin() + 5);
  CHECK(error_of(decode_picture(jpeg)).code == Errc::kTooLarge);
}
