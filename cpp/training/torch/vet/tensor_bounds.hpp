// Whether a tensor's geometry stays inside its storage: overflow-checked arithmetic and nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training::vet {

/// Bytes of one element of torch's storage class ("FloatStorage", ...), or 0 when it is not one of the plain
/// types.
std::uint64_t storage_element_size(std::string_view storage_class) noexcept;

/// Checks that every element of the tensor lies in [0, storage_elements). Sizes and strides count elements.
/// Errors: kInvalidEncoding.
Status check_tensor_bounds(std::uint64_t storage_elements, std::int64_t offset,
                           std::span<const std::int64_t> sizes, std::span<const std::int64_t> strides);

}  // namespace wasmgrad::training::vet
