// The descriptor of quantized convolutions, and runs of bytes.
#pragma once

#include "wasmgrad/graph_runtime/kernels/conv2d.hpp"
#include "wasmgrad/graph_runtime/kernels/quantized.hpp"

namespace wg {

struct Conv2dQuantized {
  Conv2d conv;
  Quantization quantization;
  std::int32_t rows;   // of the output that a depthwise kernel computes from the same rows of the picture
  std::int32_t quads;  // of rows of the picture for them
};

/// Short runs, for which calling memcpy and memset takes longer than the work. What is left of whole vectors
/// is taken together with some of what was taken before.
inline void copy_bytes(std::uint8_t* to, const std::uint8_t* from, std::int32_t count) {
  if (count >= 16) {
    for (std::int32_t i = 0; i + 16 < count; i += 16) std::memcpy(to + i, from + i, 16);
    std::memcpy(to + count - 16, from + count - 16, 16);
  } else if (count >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + count - 8, from + count - 8, 8);
  } else if (count >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + count - 4, from + count - 4, 4);
  } else {
    for (std::int32_t i = 0; i < count; ++i) to[i] = from[i];
  }
}

inline void fill_bytes(std::uint8_t* to, std::uint8_t value, std::int32_t count) {
  for (std::int32_t i = 0; i < count; ++i) {
    detach(to);
    to[i] = value;
  }
}

}  // namespace wg
