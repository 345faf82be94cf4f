// Raw DEFLATE decompression into exactly as many bytes as were announced. It knows nothing of archives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training::vet {

/// Decompresses `input`, which must yield exactly `size` bytes and be used up to its last byte.
/// Never writes past `size` bytes. Errors: kInvalidEncoding.
Expected<std::string> inflate(std::span<const std::byte> input, std::uint64_t size);

}  // namespace wasmgrad::training::vet
