#include "wasmgrad/abi/compat/arguments.hpp"

#include <cstring>

#include "wasmgrad/abi/compat/layout.hpp"

namespace wasmgrad::abi {

namespace {

constexpr std::string_view kRoles[] = {"train images", "train labels",      "test images",
                                       "test labels",  "validation images", "validation labels"};

Expected<DType> element_type(std::uint8_t value) {
  switch (static_cast<compat::DType>(value)) {
    case compat::DType::kF16:
      return DType::kF16;
    case compat::DType::kF32:
      return DType::kF32;
    case compat::DType::kU8:
      return DType::kU8;
    case compat::DType::kI32:
      return DType::kI32;
    case compat::DType::kI64:
      return DType::kI64;
  }
  return invalid("dtype " + std::to_string(value) +
                 " is not known; expected 0 (f16), 1 (f32), 2 (u8), 3 (i32) or 4 (i64)");
}

Expected<std::vector<std::int64_t>> read_dims(const GuestMemory& memory, std::uint32_t address,
                                              std::uint32_t bytes) {
  if (bytes % sizeof(std::uint32_t) != 0) {
    return invalid("dimensions take " + std::to_string(bytes) + " bytes, which is no multiple of 4");
  }
  if (bytes / sizeof(std::uint32_t) > TensorView::kMaxRank) {
    return invalid("a tensor of " + std::to_string(bytes / sizeof(std::uint32_t)) +
                   " dimensions was given; at most " + std::to_string(TensorView::kMaxRank) +
                   " are supported");
  }
  WASMGRAD_ASSIGN(const auto range, memory.bytes(address, bytes, "dimensions"));
  std::vector<std::int64_t> dims;
  for (std::size_t i = 0; i < range.size(); i += sizeof(std::uint32_t)) {
    std::uint32_t dim = 0;
    std::memcpy(&dim, range.data() + i, sizeof dim);
    dims.push_back(dim);
  }
  return dims;
}

Expected<TensorView> read_tensor(const GuestMemory& memory, std::uint32_t record, bool has_name) {
  const std::uint32_t size = has_name ? compat::kRecordBytes : compat::kPathlessRecordBytes;
  WASMGRAD_ASSIGN(const auto raw, memory.bytes(record, size, "record"));
  const auto field = [&](std::uint32_t offset) {
    std::uint32_t value = 0;
    std::memcpy(&value, raw.data() + offset, sizeof value);
    return value;
  };
  WASMGRAD_ASSIGN(const DType dtype, element_type(std::to_integer<std::uint8_t>(raw[compat::kDType])));
  WASMGRAD_ASSIGN(auto dims, read_dims(memory, field(compat::kDimsPointer), field(compat::kDimsBytes)));
  WASMGRAD_ASSIGN(const auto data,
                  memory.bytes(field(compat::kDataPointer), field(compat::kDataBytes), "data"));
  std::string name;
  if (has_name) {
    WASMGRAD_ASSIGN(const auto text,
                    memory.text(field(compat::kNamePointer), field(compat::kNameBytes), "name"));
    constexpr std::size_t kMaxName = 1024;
    if (text.size() > kMaxName) {
      return invalid("a name of " + std::to_string(text.size()) + " bytes was given; at most " +
                     std::to_string(kMaxName) + " are supported");
    }
    name = text;
  }
  return TensorView::create(std::move(name), dtype, std::move(dims), data);
}

}  // namespace

std::vector<ValueType> train_parameters(bool has_model_path) {
  using enum ValueType;
  std::vector<ValueType> types{kI32, kI32, kI64, kI32, kF64, kI32, kI64, kI32, kI32, kI32, kI32};
  if (!has_model_path) types.resize(types.size() - 2);
  return types;
}

TrainArguments train_arguments(std::span<const Value> values, bool has_model_path) {
  TrainArguments arguments;
  arguments.tensors = values[0].i32;
  arguments.tensor_count = values[1].i32;
  arguments.labels = static_cast<std::int64_t>(values[2].i64);
  arguments.device = static_cast<std::int32_t>(values[3].i32);
  arguments.learning_rate = values[4].f64;
  arguments.epochs = static_cast<std::int32_t>(values[5].i32);
  arguments.batch_size = static_cast<std::int64_t>(values[6].i64);
  arguments.optimizer = static_cast<std::int32_t>(values[7].i32);
  arguments.loss = static_cast<std::int32_t>(values[8].i32);
  arguments.has_model_path = has_model_path;
  if (has_model_path) {
    arguments.model_path = values[9].i32;
    arguments.model_path_bytes = values[10].i32;
  }
  return arguments;
}

std::string_view tensor_role(std::size_t index) { return kRoles[index]; }

Expected<std::vector<TensorView>> read_tensors(const GuestMemory& memory, const TrainArguments& arguments) {
  const std::uint32_t count = arguments.tensor_count;
  if (count != 2 && count != 4 && count != 6) {
    return invalid(
        std::to_string(count) +
        " tensors were given; expected 2 (train images and labels), 4 (and test images and labels) or 6 (and "
        "validation images and labels)");
  }
  WASMGRAD_ASSIGN(const auto pointers,
                  memory.bytes(arguments.tensors, std::uint64_t{count} * compat::kPointerBytes,
                               "the array of tensor addresses"));
  std::vector<TensorView> tensors;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t record = 0;
    std::memcpy(&record, pointers.data() + i * compat::kPointerBytes, sizeof record);
    auto tensor = read_tensor(memory, record, arguments.has_model_path);
    if (!tensor) {
      return tensor.error().within("tensor " + std::to_string(i) + " (" + std::string(tensor_role(i)) + ")");
    }
    tensors.push_back(std::move(tensor).value());
  }
  return tensors;
}

}  // namespace wasmgrad::abi
