// Numbers of bytes as people write them on a command line: 1048576, 512MiB.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

/// A whole number, with KiB, MiB, GiB or TiB behind it or nothing. Errors: kInvalidArgument.
Expected<std::uint64_t> parse_byte_size(std::string_view text);

/// The memory of a module, in pages of 64 KiB. Errors: kInvalidArgument for what is no size, no whole number
/// of pages, none, or more than 4 GiB.
Expected<std::uint32_t> parse_memory_size(std::string_view text);

/// As parse_byte_size() reads it, with the largest unit of which it is a multiple.
std::string byte_size_text(std::uint64_t bytes);

}  // namespace wasmgrad
