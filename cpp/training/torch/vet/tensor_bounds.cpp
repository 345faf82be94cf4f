// Geometry of a tensor against the number of elements in its storage.
#include "wasmgrad/training/torch/vet/tensor_bounds.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <utility>

namespace wasmgrad::training::vet {
namespace {

constexpr std::size_t kMaxRank = 64;

Error outside(const std::string& what) { return {Errc::kInvalidEncoding, "tensor out of bounds: " + what}; }

}  // namespace

std::uint64_t storage_element_size(std::string_view storage_class) noexcept {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 11> kSizes = {
      {{"FloatStorage", 4},
       {"DoubleStorage", 8},
       {"HalfStorage", 2},
       {"BFloat16Storage", 2},
       {"LongStorage", 8},
       {"IntStorage", 4},
       {"ShortStorage", 2},
       {"CharStorage", 1},
       {"ByteStorage", 1},
       {"ComplexFloatStorage", 8},
       {"ComplexDoubleStorage", 16}}};
  if (storage_class == "BoolStorage") return 1;
  for (const auto& [name, size] : kSizes) {
    if (name == storage_class) return size;
  }
  return 0;
}

Status check_tensor_bounds(std::uint64_t storage_elements, std::int64_t offset,
                           std::span<const std::int64_t> sizes, std::span<const std::int64_t> strides) {
  if (sizes.size() != strides.size()) {
    return outside(std::to_string(sizes.size()) + " sizes, but " + std::to_string(strides.size()) +
                   " strides");
  }
  if (sizes.size() > kMaxRank) return outside(std::to_string(sizes.size()) + " dimensions");
  if (offset < 0) return outside("its storage offset is negative (" + std::to_string(offset) + ")");
  std::int64_t last = offset;
  std::int64_t numel = 1;
  bool empty = false;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0 || strides[i] < 0) return outside("a size or stride is negative");
    empty = empty || sizes[i] == 0;
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    // Zero-sized dimensions count as one, so that the product of the others cannot overflow inside torch
    // either.
    const std::int64_t size = sizes[i] > 0 ? sizes[i] : 1;
    std::int64_t step = 0;
    if (__builtin_mul_overflow(numel, size, &numel) || __builtin_mul_overflow(size - 1, strides[i], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return outside("its number of elements overflows");
    }
  }
  if (empty) {
    if (static_cast<std::uint64_t>(offset) > storage_elements)
      return outside("its offset lies behind its storage");
    return {};
  }
  if (static_cast<std::uint64_t>(last) >= storage_elements) {
    return outside("its last element is number " + std::to_string(last) + " of a storage of " +
                   std::to_string(storage_elements));
  }
  // Strides of zero repeat elements without taking memory; what torch would allocate to copy it is bounded
  // here.
  constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;
  if (numel > kMaxElements) return outside("it claims " + std::to_string(numel) + " elements");
  return {};
}

}  // namespace wasmgrad::training::vet
