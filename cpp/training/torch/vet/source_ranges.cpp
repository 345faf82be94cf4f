// Layout: ("FORMAT_WITH_STRING_TABLE", (text, ...), ((byte, ((text index, ...), file name index, line),
// start, end), tag), ...)).
#include "wasmgrad/training/torch/vet/source_ranges.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace wasmgrad::training::vet {
namespace {

class Ranges {
 public:
  explicit Ranges(const Pickle& pickle) : pickle_(pickle) {}

  [[nodiscard]] bool valid() {
    const Value* root = tuple(pickle_.root, 3);
    if (root == nullptr || pickle_[root->items[0]].text != "FORMAT_WITH_STRING_TABLE") return false;
    texts_ = &pickle_[root->items[1]];
    const Value& rows = pickle_[root->items[2]];
    if (texts_->kind != ValueKind::kTuple || rows.kind != ValueKind::kTuple) return false;
    for (const ValueId text : texts_->items) {
      if (pickle_[text].kind != ValueKind::kString) return false;
    }
    for (const ValueId row : rows.items) {
      if (!valid_row(row)) return false;
    }
    return true;
  }

 private:
  [[nodiscard]] const Value* tuple(ValueId id, std::size_t size) const {
    const Value& value = pickle_[id];
    return value.kind == ValueKind::kTuple && value.items.size() == size ? &value : nullptr;
  }
  [[nodiscard]] std::optional<std::uint64_t> natural(ValueId id) const {
    const Value& value = pickle_[id];
    if (value.kind != ValueKind::kInt || value.integer < 0) return std::nullopt;
    return static_cast<std::uint64_t>(value.integer);
  }

  [[nodiscard]] bool valid_row(ValueId id) {
    const Value* row = tuple(id, 3);
    const Value* range = row == nullptr ? nullptr : tuple(row->items[1], 3);
    if (range == nullptr || !natural(row->items[0]) || pickle_[row->items[2]].kind != ValueKind::kInt)
      return false;
    const auto length = source_length(range->items[0]);
    const auto start = natural(range->items[1]);
    const auto end = natural(range->items[2]);
    // torch.jit.save itself gives code without a source the range [0, 1) of an empty text.
    return length && start && end && *start <= *end && *end <= std::max<std::uint64_t>(*length, 1);
  }

  /// Characters of the source text that is put together from the table, remembered because many ranges share
  /// it.
  [[nodiscard]] std::optional<std::uint64_t> source_length(ValueId id) {
    if (const auto known = lengths_.find(id); known != lengths_.end()) return known->second;
    const Value* source = tuple(id, 3);
    if (source == nullptr) return std::nullopt;
    const Value& pieces = pickle_[source->items[0]];
    const auto file = natural(source->items[1]);
    if (pieces.kind != ValueKind::kList || pieces.tag != "List[int]" || !file ||
        *file >= texts_->items.size() || !natural(source->items[2])) {
      return std::nullopt;
    }
    std::uint64_t length = 0;
    for (const ValueId piece : pieces.items) {
      const auto index = natural(piece);
      if (!index || *index >= texts_->items.size()) return std::nullopt;
      length += pickle_[texts_->items[*index]].text.size();
    }
    lengths_.emplace(id, length);
    return length;
  }

  const Pickle& pickle_;
  const Value* texts_ = nullptr;
  std::unordered_map<ValueId, std::uint64_t> lengths_;
};

}  // namespace

Status check_source_ranges(std::string_view bytes, const PickleLimits& limits) {
  const StorageSize no_storage = [](const std::string&) -> Expected<std::uint64_t> {
    return Error{Errc::kInvalidEncoding, "a tensor where only source positions belong"};
  };
  WASMGRAD_ASSIGN(const Pickle pickle, read_pickle(bytes, limits, no_storage));
  if (Ranges(pickle).valid()) return {};
  return Error{Errc::kInvalidEncoding, "its source positions do not fit its texts"};
}

}  // namespace wasmgrad::training::vet
