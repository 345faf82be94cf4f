// CRC-32 as zip archives use it. It knows nothing of archives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace wasmgrad::training::vet {

/// CRC-32 (polynomial 0xEDB88320, reflected) of `bytes`.
std::uint32_t crc32(std::span<const std::byte> bytes) noexcept;

}  // namespace wasmgrad::training::vet
