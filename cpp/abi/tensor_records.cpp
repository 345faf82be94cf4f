#include "wasmgrad/abi/tensor_records.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "wasmgrad/abi/v1/layout.hpp"
#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::abi {

namespace {

namespace layout = v1::layout;

std::uint32_t u32_at(std::span<const std::byte> bytes, std::uint32_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Expected<DType> element_type(std::uint8_t value) {
  if (value <= static_cast<std::uint8_t>(DType::kBF16)) return static_cast<DType>(value);
  std::string known;
  for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(DType::kBF16); ++i) {
    known += (i == 0 ? "" : ", ") + std::to_string(i) + " (" +
             std::string(dtype_name(static_cast<DType>(i))) + ")";
  }
  return invalid("type " + std::to_string(value) + " is not known; known are " + known);
}

Status check_names(const std::vector<TensorView>& tensors, std::string_view list) {
  std::vector<std::string_view> names;
  for (const TensorView& tensor : tensors) {
    if (!tensor.name().empty()) names.push_back(tensor.name());
  }
  if (!names.empty() && names.size() != tensors.size()) {
    return invalid(std::to_string(names.size()) + " of the " + std::to_string(tensors.size()) + " " +
                   std::string(list) + " have a name; expected all of them or none");
  }
  std::ranges::sort(names);
  if (const auto twice = std::ranges::adjacent_find(names); twice != names.end()) {
    return invalid("two " + std::string(list) + " have the name '" + std::string(*twice) + "'");
  }
  return {};
}

}  // namespace

Expected<std::string> read_name(const GuestMemory& memory, std::uint32_t address, std::uint32_t bytes,
                                std::string_view what) {
  if (bytes > kMaxNameBytes) {
    return invalid("a " + std::string(what) + " of " + std::to_string(bytes) + " bytes was given; at most " +
                   std::to_string(kMaxNameBytes) + " are supported");
  }
  WASMGRAD_ASSIGN(const std::string_view text, memory.text(address, bytes, what));
  if (!is_utf8(text)) return invalid("the " + std::string(what) + " is not valid UTF-8");
  return std::string(text);
}

Expected<TensorView> read_tensor_record(const GuestMemory& memory, std::uint32_t address, std::string name) {
  WASMGRAD_ASSIGN(const auto record, memory.bytes(address, layout::kTensorRecordBytes, "record"));
  const std::uint32_t rank = u32_at(record, layout::kRank);
  if (rank > TensorView::kMaxRank) {
    return invalid("a tensor of " + std::to_string(rank) + " dimensions was given; at most " +
                   std::to_string(TensorView::kMaxRank) + " are supported");
  }
  WASMGRAD_ASSIGN(const DType dtype, element_type(std::to_integer<std::uint8_t>(record[layout::kType])));
  WASMGRAD_ASSIGN(const auto dims, memory.bytes(u32_at(record, layout::kDims),
                                                std::uint64_t{rank} * sizeof(std::uint32_t), "dimensions"));
  std::vector<std::int64_t> shape(rank);
  for (std::uint32_t i = 0; i < rank; ++i) shape[i] = u32_at(dims, i * sizeof(std::uint32_t));
  WASMGRAD_ASSIGN(const auto data,
                  memory.bytes(u32_at(record, layout::kData), u32_at(record, layout::kDataBytes), "data"));
  return TensorView::create(std::move(name), dtype, std::move(shape), data);
}

Expected<std::vector<TensorView>> read_named_tensors(const GuestMemory& memory, std::uint32_t address,
                                                     std::uint32_t count, std::string_view list) {
  if (count > kMaxTensors) {
    return Error{Errc::kTooLarge, std::to_string(count) + " " + std::string(list) + " were given; at most " +
                                      std::to_string(kMaxTensors) + " are supported"};
  }
  WASMGRAD_ASSIGN(const auto records,
                  memory.bytes(address, std::uint64_t{count} * layout::kNamedTensorBytes, list));
  std::vector<TensorView> tensors;
  tensors.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto read = [&]() -> Expected<TensorView> {
      const std::uint32_t record = i * layout::kNamedTensorBytes;
      WASMGRAD_ASSIGN(std::string name, read_name(memory, u32_at(records, record + layout::kName),
                                                  u32_at(records, record + layout::kNameBytes), "name"));
      return read_tensor_record(memory, address + record + layout::kTensor, std::move(name));
    };
    auto tensor = read();
    if (!tensor) return tensor.error().within(std::string(list) + "[" + std::to_string(i) + "]");
    tensors.push_back(std::move(tensor).value());
  }
  WASMGRAD_CHECK(check_names(tensors, list));
  return tensors;
}

}  // namespace wasmgrad::abi
