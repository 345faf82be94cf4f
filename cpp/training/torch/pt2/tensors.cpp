#include "wasmgrad/training/torch/pt2/tensors.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/ne.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "wasmgrad/training/torch/vet/tensor_bounds.hpp"

namespace wasmgrad::training::pt2 {
namespace {

constexpr std::int64_t kStrided = 7;  ///< torch.export's number of the dense layout

/// A size that is known, {"as_int": 3}.
std::int64_t fixed_int(const Json& value, const std::string& what) {
  const auto [tag, number] = to_union(value);
  if (tag != "as_int") refuse_malformed(what + " has a size that is not a number");
  return to_int(number);
}

std::vector<std::int64_t> fixed_ints(const Json& values, const std::string& what) {
  std::vector<std::int64_t> numbers;
  for (const Json& value : values) numbers.push_back(fixed_int(value, what));
  return numbers;
}

}  // namespace

at::ScalarType scalar_type(const Json& number) {
  static constexpr std::array<std::pair<std::int64_t, at::ScalarType>, 10> kTypes = {{{1, at::kByte},
                                                                                      {2, at::kChar},
                                                                                      {3, at::kShort},
                                                                                      {4, at::kInt},
                                                                                      {5, at::kLong},
                                                                                      {6, at::kHalf},
                                                                                      {7, at::kFloat},
                                                                                      {8, at::kDouble},
                                                                                      {12, at::kBool},
                                                                                      {13, at::kBFloat16}}};
  const std::int64_t wanted = to_int(number);
  for (const auto& [value, type] : kTypes)
    if (value == wanted) return type;
  throw Refusal(Errc::kUnsupportedOperation,
                "the element type number " + std::to_string(wanted) +
                    " is not supported; real numbers, integers and booleans are");
}

TensorRecords::TensorRecords(const vet::Archive& archive, std::uint64_t max_json_bytes,
                             std::uint64_t max_bytes)
    : archive_(archive), bytes_left_(max_bytes) {
  // Named after the model, "model" when torch.export.save wrote it.
  for (const vet::Record& record : archive.records()) {
    const auto is_config = [&](std::string_view folder, std::string_view end) {
      return record.name.starts_with(folder) && record.name.ends_with(end);
    };
    if (is_config("data/weights/", "_weights_config.json"))
      state_.merge(entries(std::string(record.name), max_json_bytes));
    if (is_config("data/constants/", "_constants_config.json"))
      constants_.merge(entries(std::string(record.name), max_json_bytes));
  }
}

TensorRecords::Entries TensorRecords::entries(const std::string& record, std::uint64_t max_json_bytes) const {
  auto text = vet::Archive::read(*archive_.find(record), max_json_bytes);
  if (!text) throw Refusal(text.error().code, text.error().message);
  const Json parsed = parse_json(*text, "record " + in_quotes(record));
  const Json& config = member(parsed, "config");
  if (!config.is_object()) refuse_malformed("record " + in_quotes(record) + " holds no table of tensors");
  Entries found;
  for (const auto& [name, entry] : config.items()) found.emplace(name, entry);
  return found;
}

bool TensorRecords::requires_grad(const std::string& name) const {
  const auto found = state_.find(name);
  if (found == state_.end()) refuse_malformed("there is no tensor " + in_quotes(name));
  return bool_member(member(found->second, "tensor_meta"), "requires_grad");
}

at::Tensor TensorRecords::read(const Entries& entries, const std::string& folder, const std::string& name) {
  const std::string what = "tensor " + in_quotes(name);
  const auto found = entries.find(name);
  if (found == entries.end()) refuse_malformed("there is no " + what);
  const Json& entry = found->second;
  if (bool_member(entry, "use_pickle")) {
    throw Refusal(Errc::kSecurity, what + " is stored as a pickle, which is a program; expected raw bytes");
  }
  const std::string& path = text_member(entry, "path_name");
  const vet::Record* record = archive_.find(folder + path);
  if (record == nullptr) refuse_malformed(what + ": there is no record " + in_quotes(folder + path));
  if (record->deflated)
    refuse_malformed(what + ": the record " + in_quotes(folder + path) + " is compressed");
  const Json& meta = member(entry, "tensor_meta");
  at::Tensor& tensor = made_[{folder + path, meta.dump()}];
  if (!tensor.defined()) tensor = copy(*record, meta, what);
  return tensor;
}

at::Tensor TensorRecords::copy(const vet::Record& record, const Json& meta, const std::string& what) {
  if (to_int(member(meta, "layout")) != kStrided) {
    throw Refusal(Errc::kUnsupportedOperation, what + " is sparse or opaque, expected a dense tensor");
  }
  const at::ScalarType type = scalar_type(member(meta, "dtype"));
  const std::vector<std::int64_t> sizes = fixed_ints(array_member(meta, "sizes"), what);
  const std::vector<std::int64_t> strides = fixed_ints(array_member(meta, "strides"), what);
  const std::int64_t offset = fixed_int(member(meta, "storage_offset"), what);
  const std::uint64_t elements = record.data.size() / c10::elementSize(type);
  if (const Status inside = vet::check_tensor_bounds(elements, offset, sizes, strides); !inside)
    throw Refusal(inside.error().code, what + ": " + inside.error().message);

  // Strides of zero let a small record claim any size. The bounds above keep the product from overflowing.
  std::uint64_t bytes = c10::elementSize(type);
  for (const std::int64_t size : sizes) bytes *= static_cast<std::uint64_t>(size);
  const std::uint64_t most = std::max<std::uint64_t>(bytes, record.data.size());
  if (most > bytes_left_) {
    throw Refusal(Errc::kTooLarge, what + " of " + std::to_string(most) +
                                       " bytes goes beyond what a model may hold (" +
                                       std::to_string(bytes_left_) + " bytes are left)");
  }
  bytes_left_ -= most;

  const at::Tensor flat = at::empty({static_cast<std::int64_t>(elements)}, type);
  if (elements != 0)
    std::memcpy(flat.mutable_data_ptr(), record.data.data(), elements * c10::elementSize(type));
  const at::Tensor tensor = flat.as_strided(sizes, strides, offset).clone(at::MemoryFormat::Contiguous);
  if (type != at::kBool) return tensor;
  // A byte of a boolean other than 0 and 1 means something else to every reader.
  return tensor.view(at::kByte).ne(0);
}

}  // namespace wasmgrad::training::pt2
