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

/// Short runs, for which calling memcpy and memset takes longer than the work.
inline void copy_bytes(std::uint8_t* to, const std::uint8_t* from, std::int32_t count) {
  for (; count >= 16; count -= 16, to += 16, from += 16) {
    detach(to);
    std::memcpy(to, from, 16);
  }
  for (; count > 0; --count) {
    detach(to);
    *to++ = *from++;
  }
}

inline void fill_bytes(std::uint8_t* to, std::uint8_t value, std::int32_t count) {
  const Bytes16 sixteen = value - Bytes16{};
  for (; count >= 16; count -= 16, to += 16) {
    detach(to);
    std::memcpy(to, &sixteen, 16);
  }
  for (; count > 0; --count) {
    detach(to);
    *to++ = value;
  }
}

}  // namespace wg
