// The stack machine of pickle protocol 2, as far as torch.jit.save uses it, over symbolic values.
#include "wasmgrad/training/vet/pickle.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "wasmgrad/training/vet/tensor_bounds.hpp"

namespace wasmgrad::training::vet {
namespace {

constexpr std::string_view kTensorGlobal = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr std::string_view kRestoreTag = "torch.jit._pickle.restore_type_tag";
constexpr std::string_view kDevice = "torch.device";
constexpr std::string_view kComplex = "builtins.complex";
constexpr std::size_t kMaxNameLength = 1024;
constexpr std::size_t kMaxMemo = 1U << 20;

/// The element type that a typed-list builder stands for, or empty.
std::string_view list_builder(std::string_view global) {
  static constexpr std::pair<std::string_view, std::string_view> kBuilders[] = {
      {"torch.jit._pickle.build_intlist", "List[int]"},
      {"torch.jit._pickle.build_doublelist", "List[float]"},
      {"torch.jit._pickle.build_boollist", "List[bool]"},
      {"torch.jit._pickle.build_tensorlist", "List[Tensor]"},
  };
  for (const auto& [name, tag] : kBuilders) {
    if (name == global) return tag;
  }
  return {};
}

bool is_path(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return c == '_' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

class Machine {
 public:
  Machine(std::string_view bytes, const PickleLimits& limits, const StorageSize& storage_size)
      : bytes_(bytes), limits_(limits), storage_size_(storage_size) {}

  Expected<Pickle> run() {
    if (!bytes_.starts_with("\x80\x02")) return bad("it does not begin with protocol 2");
    at_ = 2;
    while (!stopped_) {
      WASMGRAD_CHECK(step());
      if (pickle_.values.size() > limits_.max_values) {
        return Error{Errc::kTooLarge, "more than " + std::to_string(limits_.max_values) + " values"};
      }
    }
    if (at_ != bytes_.size()) return bad("bytes follow its end");
    if (stack_.size() != 1 || !marks_.empty()) return bad("it does not end with exactly one value");
    WASMGRAD_CHECK(check_data(stack_));
    pickle_.root = stack_.back();
    return std::move(pickle_);
  }

 private:
  [[nodiscard]] Error bad(const std::string& what) const {
    return {Errc::kInvalidEncoding, "malformed pickle at byte " + std::to_string(at_) + ": " + what};
  }
  [[nodiscard]] Error refused(const std::string& what) const { return {Errc::kSecurity, what}; }

  // Reading.

  [[nodiscard]] std::optional<std::string_view> take(std::size_t count) {
    if (count > bytes_.size() - at_) return std::nullopt;
    const std::string_view result = bytes_.substr(at_, count);
    at_ += count;
    return result;
  }

  template <class T>
  [[nodiscard]] std::optional<T> number() {
    const auto raw = take(sizeof(T));
    if (!raw) return std::nullopt;
    T value{};
    raw->copy(reinterpret_cast<char*>(&value), sizeof value);
    return value;
  }

  [[nodiscard]] std::optional<std::string_view> line() {
    const std::size_t end = bytes_.substr(at_, kMaxNameLength).find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view result = bytes_.substr(at_, end);
    at_ += end + 1;
    return result;
  }

  // The stack.

  [[nodiscard]] const Value& value(ValueId id) const { return pickle_.values[id]; }
  [[nodiscard]] bool is_data(ValueId id) const { return value(id).kind < ValueKind::kGlobal; }

  void push(Value value) {
    stack_.push_back(static_cast<ValueId>(pickle_.values.size()));
    pickle_.values.push_back(std::move(value));
  }

  /// The number of values above the top mark (or above the bottom when there is none).
  [[nodiscard]] std::size_t available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

  [[nodiscard]] ValueId pop() {
    const ValueId id = stack_.back();
    stack_.pop_back();
    return id;
  }

  /// Takes everything above the last mark.
  [[nodiscard]] std::optional<std::vector<ValueId>> pop_to_mark() {
    if (marks_.empty()) return std::nullopt;
    const auto start = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<ValueId> items(start, stack_.end());
    stack_.erase(start, stack_.end());
    marks_.pop_back();
    return items;
  }

  Status set_items(Value& container, std::vector<ValueId> items) {
    for (const ValueId item : items) container.depth = std::max(container.depth, value(item).depth + 1);
    if (container.depth > limits_.max_depth) {
      return Error{Errc::kTooLarge,
                   "containers nested deeper than " + std::to_string(limits_.max_depth) + " levels"};
    }
    container.items = std::move(items);
    return {};
  }

  Status push_tuple(std::vector<ValueId> items) {
    Value tuple{.kind = ValueKind::kTuple};
    // Globals and storages may stand in the argument tuples of BINPERSID and REDUCE, which check them; data
    // may not hold them.
    for (const ValueId item : items) {
      if (value(item).kind == ValueKind::kClass) return bad("an unfinished object inside a tuple");
      if (!is_data(item)) argument_tuples_.insert(static_cast<ValueId>(pickle_.values.size()));
      if (argument_tuples_.contains(item)) return bad("a callable inside nested tuples");
    }
    WASMGRAD_CHECK(set_items(tuple, std::move(items)));
    push(std::move(tuple));
    return {};
  }

  Status check_data(const std::vector<ValueId>& items) const {
    for (const ValueId item : items) {
      if (!is_data(item) || argument_tuples_.contains(item)) return bad("a callable where data should be");
    }
    return {};
  }

  Status step() {
    const auto opcode = number<std::uint8_t>();
    if (!opcode) return bad("it ends without STOP");
    switch (*opcode) {
      case '.':
        stopped_ = true;
        return {};
      case '(':
        marks_.push_back(stack_.size());
        return check_marks();
      case 'N':
        push({.kind = ValueKind::kNone});
        return {};
      case 0x88:
        push({.kind = ValueKind::kBool, .integer = 1});
        return {};
      case 0x89:
        push({.kind = ValueKind::kBool, .integer = 0});
        return {};
      case 'K':
        return push_int(number<std::uint8_t>());
      case 'M':
        return push_int(number<std::uint16_t>());
      case 'J':
        return push_int(number<std::int32_t>());
      case 0x8a:
        return long_int();
      case 'G':
        if (!take(8)) return bad("truncated");
        push({.kind = ValueKind::kFloat});
        return {};
      case 'X':
        return string();
      case ')':
        return push_tuple({});
      case ']':
        push({.kind = ValueKind::kList});
        return {};
      case '}':
        push({.kind = ValueKind::kDict});
        return {};
      case 't':
        return tuple_from_mark();
      case 0x85:
        return tuple(1);
      case 0x86:
        return tuple(2);
      case 0x87:
        return tuple(3);
      case 'e':
        return appends();
      case 'u':
        return set_items_from_mark();
      case 'q':
        return put(number<std::uint8_t>());
      case 'r':
        return put(number<std::uint32_t>());
      case 'h':
        return get(number<std::uint8_t>());
      case 'j':
        return get(number<std::uint32_t>());
      case 'c':
        return global();
      case 0x81:
        return new_object();
      case 'b':
        return build();
      case 'R':
        return reduce();
      case 'Q':
        return storage();
      default:
        return bad("opcode " + std::to_string(*opcode) + " is not one that torch.jit.save writes");
    }
  }

  Status check_marks() const {
    if (marks_.size() <= 2 * limits_.max_depth) return {};
    return Error{Errc::kTooLarge,
                 "containers nested deeper than " + std::to_string(limits_.max_depth) + " levels"};
  }

  template <class T>
  Status push_int(std::optional<T> number) {
    if (!number) return bad("truncated");
    push({.kind = ValueKind::kInt, .integer = static_cast<std::int64_t>(*number)});
    return {};
  }

  Status long_int() {
    const auto length = number<std::uint8_t>();
    if (!length || *length != 8) return bad("an integer that is not 8 bytes long");
    return push_int(number<std::int64_t>());
  }

  Status string() {
    const auto length = number<std::uint32_t>();
    const auto text = length ? take(*length) : std::nullopt;
    if (!text) return bad("a string that runs past the end");
    push({.kind = ValueKind::kString, .text = std::string(*text)});
    return {};
  }

  Status tuple_from_mark() {
    auto items = pop_to_mark();
    if (!items) return bad("TUPLE without MARK");
    return push_tuple(std::move(*items));
  }

  Status tuple(std::size_t count) {
    if (available() < count) return bad("a tuple of more values than there are");
    std::vector<ValueId> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return push_tuple(std::move(items));
  }

  /// The container below the items, which must be new: one that is known by a memo entry could be put into
  /// itself.
  [[nodiscard]] Value* fresh_container(ValueKind kind) {
    if (available() < 1) return nullptr;
    Value& container = pickle_.values[stack_.back()];
    const bool fresh = container.kind == kind && container.items.empty() && container.tag.empty() &&
                       !memoized_.contains(stack_.back());
    return fresh ? &container : nullptr;
  }

  Status appends() {
    auto items = pop_to_mark();
    Value* list = items ? fresh_container(ValueKind::kList) : nullptr;
    if (list == nullptr) return bad("APPENDS without a new list");
    WASMGRAD_CHECK(check_data(*items));
    return set_items(*list, std::move(*items));
  }

  Status set_items_from_mark() {
    auto items = pop_to_mark();
    Value* dict = items ? fresh_container(ValueKind::kDict) : nullptr;
    if (dict == nullptr || items->size() % 2 != 0) return bad("SETITEMS without a new dictionary and pairs");
    WASMGRAD_CHECK(check_data(*items));
    return set_items(*dict, std::move(*items));
  }

  template <class T>
  Status put(std::optional<T> slot) {
    if (!slot || available() < 1) return bad("BINPUT without a value");
    if (*slot > memo_.size() || *slot >= kMaxMemo) return bad("memo slots are not used in order");
    if (value(stack_.back()).kind == ValueKind::kClass || argument_tuples_.contains(stack_.back())) {
      return bad("BINPUT of an unfinished value");
    }
    memoized_.insert(stack_.back());
    if (*slot == memo_.size()) {
      memo_.push_back(stack_.back());
    } else {
      memo_[*slot] = stack_.back();
    }
    return {};
  }

  template <class T>
  Status get(std::optional<T> slot) {
    if (!slot || *slot >= memo_.size()) return bad("a memo slot that was never filled");
    stack_.push_back(memo_[*slot]);
    if (stack_.size() > limits_.max_values) return Error{Errc::kTooLarge, "too many values on the stack"};
    return {};
  }

  Status global() {
    const auto module = line();
    const auto name = module ? line() : std::nullopt;
    if (!name || !is_path(*module) || !is_path(*name) || module->empty() || name->empty()) {
      return bad("a global without a plain name");
    }
    std::string full = std::string(*module) + "." + std::string(*name);
    if (full.starts_with("__torch__.torch.classes")) {
      return refused("the custom C++ class '" + full + "' is not allowed");
    }
    const bool storage = *module == "torch" && storage_element_size(*name) != 0;
    if (!full.starts_with("__torch__.") && full != kTensorGlobal && full != kOrderedDict &&
        full != kRestoreTag && full != kDevice && full != kComplex && list_builder(full).empty() &&
        !storage) {
      return refused("the pickle global '" + full + "' is not on the allow-list");
    }
    push({.kind = ValueKind::kGlobal, .text = std::move(full)});
    return {};
  }

  Status new_object() {
    if (available() < 2) return bad("NEWOBJ without a class and arguments");
    const Value& arguments = value(pop());
    const Value& callee = value(pop());
    if (arguments.kind != ValueKind::kTuple || !arguments.items.empty() ||
        callee.kind != ValueKind::kGlobal || !callee.text.starts_with("__torch__.")) {
      return bad("NEWOBJ of something that is not a class of the model");
    }
    push({.kind = ValueKind::kClass, .text = callee.text});
    return {};
  }

  Status build() {
    if (available() < 2) return bad("BUILD without an object and its state");
    const ValueId state_id = pop();
    const Value& object_class = value(pop());
    if (object_class.kind != ValueKind::kClass) return bad("BUILD of something that is not a new object");
    Value object{.kind = ValueKind::kObject, .text = object_class.text};
    const Value& state = value(state_id);
    if (state.kind != ValueKind::kDict || !state.tag.empty()) {
      return refused("class '" + object.text +
                     "' is restored from a state of its own (__setstate__), which is not allowed");
    }
    for (std::size_t i = 0; i < state.items.size(); i += 2) {
      if (value(state.items[i]).kind != ValueKind::kString)
        return bad("an attribute whose name is not a string");
    }
    WASMGRAD_CHECK(set_items(object, state.items));
    push(std::move(object));
    return {};
  }

  Status reduce() {
    if (available() < 2) return bad("REDUCE without a callable and arguments");
    const ValueId arguments_id = pop();
    const ValueId callee_id = pop();
    if (value(callee_id).kind != ValueKind::kGlobal || value(arguments_id).kind != ValueKind::kTuple) {
      return bad("REDUCE of something that is not callable");
    }
    const std::string callee = value(callee_id).text;
    const std::vector<ValueId> arguments = value(arguments_id).items;
    if (callee == kTensorGlobal) return tensor(arguments);
    WASMGRAD_CHECK(check_data(arguments));
    if (callee == kOrderedDict) {
      if (!arguments.empty()) return bad("an OrderedDict that is not empty");
      push({.kind = ValueKind::kNone});
      return {};
    }
    if (callee == kDevice) {
      if (arguments.size() != 1 || value(arguments[0]).kind != ValueKind::kString)
        return bad("a device without a name");
      push({.kind = ValueKind::kDevice, .text = value(arguments[0]).text});
      return {};
    }
    if (callee == kComplex) {
      if (arguments.size() != 2 || value(arguments[0]).kind != ValueKind::kFloat ||
          value(arguments[1]).kind != ValueKind::kFloat) {
        return bad("a complex number that is not two floats");
      }
      push({.kind = ValueKind::kComplex});
      return {};
    }
    if (callee == kRestoreTag) {
      if (arguments.size() != 2 || value(arguments[1]).kind != ValueKind::kString)
        return bad("a type tag without a type");
      return tagged(arguments[0], value(arguments[1]).text);
    }
    const std::string_view tag = list_builder(callee);
    if (tag.empty() || arguments.size() != 1 || value(arguments[0]).kind != ValueKind::kList) {
      return refused("calling the pickle global '" + callee + "' is not allowed");
    }
    return tagged(arguments[0], std::string(tag));
  }

  Status tagged(ValueId id, std::string tag) {
    Value& container = pickle_.values[id];
    if (container.kind != ValueKind::kList && container.kind != ValueKind::kDict) {
      return bad("a type tag on something that is neither a list nor a dictionary");
    }
    if (!container.tag.empty() || memoized_.contains(id) || tag.empty())
      return bad("a type tag on a shared container");
    container.tag = std::move(tag);
    stack_.push_back(id);
    return {};
  }

  Status storage() {
    const Value* persistent = available() < 1 ? nullptr : &value(pop());
    if (persistent == nullptr || persistent->kind != ValueKind::kTuple || persistent->items.size() != 5) {
      return bad("a storage that is not described by five values");
    }
    const auto& items = persistent->items;
    const Value& type = value(items[1]);
    if (value(items[0]).text != "storage" || type.kind != ValueKind::kGlobal ||
        value(items[2]).kind != ValueKind::kString || value(items[3]).kind != ValueKind::kString ||
        value(items[4]).kind != ValueKind::kInt) {
      return bad("a storage that is not described by a type, a key, a device and a length");
    }
    const std::string& key = value(items[2]).text;
    const std::string& device = value(items[3]).text;
    const std::int64_t count = value(items[4]).integer;
    const std::uint64_t element =
        type.text.starts_with("torch.") ? storage_element_size(type.text.substr(6)) : 0;
    if (element == 0) return refused("the storage type '" + type.text + "' is not allowed");
    if (device != "cpu" && device != "cuda" && !device.starts_with("cuda:")) {
      return refused("storage '" + key + "' lies on a device that is neither 'cpu' nor 'cuda'");
    }
    WASMGRAD_ASSIGN(const std::uint64_t available_bytes, storage_size_(key));
    if (count < 0 || static_cast<std::uint64_t>(count) > available_bytes / element) {
      return Error{Errc::kInvalidEncoding, "storage '" + key + "' is said to have " + std::to_string(count) +
                                               " elements of " + std::to_string(element) +
                                               " bytes, its record has " + std::to_string(available_bytes) +
                                               " bytes"};
    }
    push({.kind = ValueKind::kStorage, .integer = count, .text = type.text.substr(6)});
    return {};
  }

  [[nodiscard]] std::optional<std::vector<std::int64_t>> integers(ValueId id) const {
    if (value(id).kind != ValueKind::kTuple) return std::nullopt;
    std::vector<std::int64_t> result;
    for (const ValueId item : value(id).items) {
      if (value(item).kind != ValueKind::kInt) return std::nullopt;
      result.push_back(value(item).integer);
    }
    return result;
  }

  Status tensor(const std::vector<ValueId>& arguments) {
    if (arguments.size() != 6 || value(arguments[0]).kind != ValueKind::kStorage ||
        value(arguments[1]).kind != ValueKind::kInt || value(arguments[4]).kind != ValueKind::kBool ||
        value(arguments[5]).kind != ValueKind::kNone) {
      return bad("a tensor that is not described by storage, offset, sizes, strides, flag and no hooks");
    }
    const auto sizes = integers(arguments[2]);
    const auto strides = integers(arguments[3]);
    if (!sizes || !strides) return bad("a tensor whose sizes or strides are not integers");
    const Value& storage = value(arguments[0]);
    WASMGRAD_CHECK(check_tensor_bounds(static_cast<std::uint64_t>(storage.integer),
                                       value(arguments[1]).integer, *sizes, *strides));
    std::string type = storage.text;
    push({.kind = ValueKind::kTensor, .text = std::move(type)});
    return {};
  }

  std::string_view bytes_;
  const PickleLimits& limits_;
  const StorageSize& storage_size_;
  std::size_t at_ = 0;
  bool stopped_ = false;
  Pickle pickle_;
  std::vector<ValueId> stack_;
  std::vector<std::size_t> marks_;
  std::vector<ValueId> memo_;
  std::set<ValueId> memoized_;
  std::set<ValueId> argument_tuples_;
};

}  // namespace

Expected<Pickle> read_pickle(std::string_view bytes, const PickleLimits& limits,
                             const StorageSize& storage_size) {
  return Machine(bytes, limits, storage_size).run();
}

}  // namespace wasmgrad::training::vet
