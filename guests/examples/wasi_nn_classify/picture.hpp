// Pictures from binary PPM files, and as the tensor that ImageNet models take. It must not know any model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// Rows from top to bottom; red, green and blue of each pixel.
struct Picture {
  std::uint32_t width = 0, height = 0;
  std::vector<float> values;  ///< 0 to 255
};

/// Ends the guest when the file is not there or in another format.
Picture read_ppm(const std::string& path);

/// f32 [1, 3, side, side]: the shorter side scaled to `side` * 256 / 224, the middle cut out, normalised with
/// the mean and deviation of ImageNet.
std::vector<float> imagenet_tensor(const Picture& picture, std::uint32_t side);
