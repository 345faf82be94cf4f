#include "wasmgrad/training/state/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "wasmgrad/base/strict_json.hpp"

namespace wasmgrad::training {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;
constexpr std::size_t kHeaderAlignment = 8;
constexpr const char* kMetadata = "__metadata__";

/// The format's names, indexed by DType.
constexpr std::array<std::string_view, 7> kTypeNames = {"F16", "F32", "F64", "U8", "I32", "I64", "BF16"};

Error malformed(const std::string& what) { return {Errc::kInvalidEncoding, "safetensors: " + what}; }

std::optional<DType> type_named(std::string_view name) {
  for (std::size_t i = 0; i < kTypeNames.size(); ++i) {
    if (kTypeNames[i] == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

/// The header as JSON: an object at most three levels deep.
Expected<Json> parse_header(std::string_view text) {
  auto header = parse_strict_json(text, "the header", 3);
  if (!header) return malformed(header.error().message);
  if (!header->is_object()) return malformed("the header is not a JSON object");
  return header;
}

/// Non-negative whole numbers that fit 63 bits.
std::optional<std::vector<std::int64_t>> sizes_of(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array()) return std::nullopt;
  std::vector<std::int64_t> sizes;
  for (const Json& size : *found) {
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() > INT64_MAX) return std::nullopt;
    sizes.push_back(size.get<std::int64_t>());
  }
  return sizes;
}

struct Placed {
  std::int64_t begin;
  std::int64_t end;
  TensorView view;
};

Expected<Placed> read_entry(const std::string& name, const Json& entry, std::span<const std::byte> data) {
  const std::string what = "tensor '" + name + "'";
  if (!entry.is_object() || entry.size() != 3)
    return malformed(what + " is not {dtype, shape, data_offsets}");
  const auto type = entry.find("dtype");
  if (type == entry.end() || !type->is_string()) return malformed(what + " has no dtype");
  const auto dtype = type_named(type->get_ref<const std::string&>());
  if (!dtype) {
    return Error{Errc::kUnsupportedOperation, "safetensors: " + what + " is of type " +
                                                  type->get<std::string>() + ", which is not known here"};
  }
  auto shape = sizes_of(entry, "shape");
  if (!shape) return malformed(what + " has no shape of non-negative whole numbers");
  const auto offsets = sizes_of(entry, "data_offsets");
  if (!offsets || offsets->size() != 2) return malformed(what + " has no pair of data_offsets");
  const std::int64_t begin = (*offsets)[0];
  const std::int64_t end = (*offsets)[1];
  if (begin > end || static_cast<std::uint64_t>(end) > data.size()) {
    return malformed(what + " lies at " + std::to_string(begin) + ".." + std::to_string(end) + " of " +
                     std::to_string(data.size()) + " bytes of data");
  }
  auto view = TensorView::create(
      name, *dtype, std::move(*shape),
      data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
  if (!view) return malformed(what + ": " + view.error().message);
  return Placed{begin, end, std::move(*view)};
}

}  // namespace

Expected<Safetensors> read_safetensors(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes)
    return malformed("the file of " + std::to_string(file.size()) + " bytes is too short");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  if (length > file.size() - kLengthBytes) {
    return malformed("the header of " + std::to_string(length) + " bytes runs past the end of the file");
  }
  if (length > kMostHeaderBytes) {
    return Error{Errc::kTooLarge, "safetensors: the header of " + std::to_string(length) +
                                      " bytes is beyond the format's " + std::to_string(kMostHeaderBytes)};
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data() + kLengthBytes), length);
  if (text.empty() || text.front() != '{') return malformed("the header does not begin with '{'");
  const std::span<const std::byte> data = file.subspan(kLengthBytes + length);
  WASMGRAD_ASSIGN(const Json header, parse_header(text));

  Safetensors result;
  std::vector<Placed> placed;
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      if (!entry.is_object()) return malformed("__metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) return malformed("__metadata__ '" + key + "' is not a string");
        result.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    auto tensor = read_entry(name, entry, data);
    if (!tensor) return tensor.error();
    placed.push_back(std::move(*tensor));
  }
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::int64_t expected = 0;
  for (Placed& tensor : placed) {
    if (tensor.begin != expected) {
      return malformed("tensor '" + tensor.view.name() + "' begins at " + std::to_string(tensor.begin) +
                       "; without gap or overlap it would begin at " + std::to_string(expected));
    }
    expected = tensor.end;
    result.tensors.push_back(std::move(tensor.view));
  }
  if (static_cast<std::uint64_t>(expected) != data.size()) {
    return malformed("the tensors end at " + std::to_string(expected) + " of " + std::to_string(data.size()) +
                     " bytes of data");
  }
  return result;
}

Expected<std::vector<std::byte>> write_safetensors(std::span<const TensorView> tensors,
                                                   const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorView*> order;
  for (const TensorView& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
    return dtype_size(a->dtype()) > dtype_size(b->dtype());
  });

  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::uint64_t offset = 0;
  for (const TensorView* tensor : order) {
    if (tensor->name().empty() || header.contains(tensor->name()) || tensor->name() == kMetadata) {
      return Error{Errc::kInvalidArgument,
                   "safetensors: the tensor name '" + tensor->name() + "' is empty, reserved or used twice"};
    }
    header[tensor->name()] = {{"dtype", kTypeNames[static_cast<std::size_t>(tensor->dtype())]},
                              {"shape", tensor->shape()},
                              {"data_offsets", {offset, offset + tensor->data().size()}}};
    offset += tensor->data().size();
  }
  // Bytes that are not UTF-8 are replaced, so that no name can make this fail.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');

  std::vector<std::byte> file(kLengthBytes + text.size() + offset);
  for (std::size_t i = 0; i < kLengthBytes; ++i) file[i] = static_cast<std::byte>(text.size() >> (8 * i));
  std::memcpy(file.data() + kLengthBytes, text.data(), text.size());
  std::byte* target = file.data() + kLengthBytes + text.size();
  for (const TensorView* tensor : order) {
    if (!tensor->data().empty()) std::memcpy(target, tensor->data().data(), tensor->data().size());
    target += tensor->data().size();
  }
  return file;
}

}  // namespace wasmgrad::training
