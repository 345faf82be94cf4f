// The stack machine of pickle protocol 2, as far as torch.jit.save uses it, over symbolic values.
#include <algorithm>

#include "wasmgrad/training/torch/vet/pickle_machine.hpp"

namespace wasmgrad::training::vet {
namespace {

constexpr std::size_t kMaxNameLength = 1024;
constexpr std::size_t kMaxMemo = 1U << 20;

}  // namespace

Expected<Pickle> PickleMachine::run() {
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

Error PickleMachine::bad(const std::string& what) const {
  return {Errc::kInvalidEncoding, "malformed pickle at byte " + std::to_string(at_) + ": " + what};
}

Error PickleMachine::too_deep() const {
  return {Errc::kTooLarge, "containers nested deeper than " + std::to_string(limits_.max_depth) + " levels"};
}

std::optional<std::string_view> PickleMachine::take(std::size_t count) {
  if (count > bytes_.size() - at_) return std::nullopt;
  const std::string_view result = bytes_.substr(at_, count);
  at_ += count;
  return result;
}

template <class T>
std::optional<T> PickleMachine::number() {
  const auto raw = take(sizeof(T));
  if (!raw) return std::nullopt;
  T value{};
  raw->copy(reinterpret_cast<char*>(&value), sizeof value);
  return value;
}

std::optional<std::string_view> PickleMachine::line() {
  const std::size_t end = bytes_.substr(at_, kMaxNameLength).find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view result = bytes_.substr(at_, end);
  at_ += end + 1;
  return result;
}

void PickleMachine::push(Value value) {
  stack_.push_back(static_cast<ValueId>(pickle_.values.size()));
  pickle_.values.push_back(std::move(value));
}

ValueId PickleMachine::pop() {
  const ValueId id = stack_.back();
  stack_.pop_back();
  return id;
}

std::optional<std::vector<ValueId>> PickleMachine::pop_to_mark() {
  if (marks_.empty()) return std::nullopt;
  const auto start = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<ValueId> items(start, stack_.end());
  stack_.erase(start, stack_.end());
  marks_.pop_back();
  return items;
}

Status PickleMachine::set_items(Value& container, std::vector<ValueId> items) {
  for (const ValueId item : items) container.depth = std::max(container.depth, value(item).depth + 1);
  if (container.depth > limits_.max_depth) return too_deep();
  container.items = std::move(items);
  return {};
}

Status PickleMachine::push_tuple(std::vector<ValueId> items) {
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

Status PickleMachine::check_data(const std::vector<ValueId>& items) const {
  for (const ValueId item : items) {
    if (!is_data(item) || argument_tuples_.contains(item)) return bad("a callable where data should be");
  }
  return {};
}

Status PickleMachine::step() {
  const auto opcode = number<std::uint8_t>();
  if (!opcode) return bad("it ends without STOP");
  switch (*opcode) {
    case '.':
      stopped_ = true;
      return {};
    case '(':
      return mark();
    case ')':
      return push_tuple({});
    case 't':
      return tuple_from_mark();
    case 0x85:
    case 0x86:
    case 0x87:
      return tuple(*opcode - 0x84U);
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
      return literal(*opcode);
  }
}

Status PickleMachine::literal(std::uint8_t opcode) {
  switch (opcode) {
    case 'N':
      push({.kind = ValueKind::kNone});
      return {};
    case 0x88:
    case 0x89:
      push({.kind = ValueKind::kBool, .integer = opcode == 0x88 ? 1 : 0});
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
    case ']':
      push({.kind = ValueKind::kList});
      return {};
    case '}':
      push({.kind = ValueKind::kDict});
      return {};
    default:
      return bad("opcode " + std::to_string(opcode) + " is not one that torch.jit.save writes");
  }
}

Status PickleMachine::mark() {
  marks_.push_back(stack_.size());
  return marks_.size() <= 2 * limits_.max_depth ? Status() : too_deep();
}

template <class T>
Status PickleMachine::push_int(std::optional<T> number) {
  if (!number) return bad("truncated");
  push({.kind = ValueKind::kInt, .integer = static_cast<std::int64_t>(*number)});
  return {};
}

Status PickleMachine::long_int() {
  const auto length = number<std::uint8_t>();
  if (!length || *length != 8) return bad("an integer that is not 8 bytes long");
  return push_int(number<std::int64_t>());
}

Status PickleMachine::string() {
  const auto length = number<std::uint32_t>();
  const auto text = length ? take(*length) : std::nullopt;
  if (!text) return bad("a string that runs past the end");
  push({.kind = ValueKind::kString, .text = std::string(*text)});
  return {};
}

Status PickleMachine::tuple_from_mark() {
  auto items = pop_to_mark();
  if (!items) return bad("TUPLE without MARK");
  return push_tuple(std::move(*items));
}

Status PickleMachine::tuple(std::size_t count) {
  if (available() < count) return bad("a tuple of more values than there are");
  std::vector<ValueId> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return push_tuple(std::move(items));
}

Value* PickleMachine::fresh_container(ValueKind kind) {
  if (available() < 1) return nullptr;
  Value& container = pickle_.values[stack_.back()];
  const bool fresh = container.kind == kind && container.items.empty() && container.tag.empty() &&
                     !memoized_.contains(stack_.back());
  return fresh ? &container : nullptr;
}

Status PickleMachine::appends() {
  auto items = pop_to_mark();
  Value* list = items ? fresh_container(ValueKind::kList) : nullptr;
  if (list == nullptr) return bad("APPENDS without a new list");
  WASMGRAD_CHECK(check_data(*items));
  return set_items(*list, std::move(*items));
}

Status PickleMachine::set_items_from_mark() {
  auto items = pop_to_mark();
  Value* dict = items ? fresh_container(ValueKind::kDict) : nullptr;
  if (dict == nullptr || items->size() % 2 != 0) return bad("SETITEMS without a new dictionary and pairs");
  WASMGRAD_CHECK(check_data(*items));
  return set_items(*dict, std::move(*items));
}

template <class T>
Status PickleMachine::put(std::optional<T> slot) {
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
Status PickleMachine::get(std::optional<T> slot) {
  if (!slot || *slot >= memo_.size()) return bad("a memo slot that was never filled");
  stack_.push_back(memo_[*slot]);
  if (stack_.size() > limits_.max_values) return Error{Errc::kTooLarge, "too many values on the stack"};
  return {};
}

Expected<Pickle> read_pickle(std::string_view bytes, const PickleLimits& limits,
                             const StorageSize& storage_size) {
  return PickleMachine(bytes, limits, storage_size).run();
}

}  // namespace wasmgrad::training::vet
