// What the pickles of torch.jit.save hold beyond plain values: classes and calls by name, objects, typed
// containers, storages and tensors. Everything else is refused by name.
#include <algorithm>

#include "wasmgrad/training/torch/vet/pickle_machine.hpp"
#include "wasmgrad/training/torch/vet/tensor_bounds.hpp"

namespace wasmgrad::training::vet {
namespace {

constexpr std::string_view kTensorGlobal = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr std::string_view kRestoreTag = "torch.jit._pickle.restore_type_tag";
constexpr std::string_view kDevice = "torch.device";
constexpr std::string_view kComplex = "builtins.complex";

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

}  // namespace

Status PickleMachine::global() {
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
      full != kRestoreTag && full != kDevice && full != kComplex && list_builder(full).empty() && !storage) {
    return refused("the pickle global '" + full + "' is not on the allow-list");
  }
  push({.kind = ValueKind::kGlobal, .text = std::move(full)});
  return {};
}

Status PickleMachine::new_object() {
  if (available() < 2) return bad("NEWOBJ without a class and arguments");
  const Value& arguments = value(pop());
  const Value& callee = value(pop());
  if (arguments.kind != ValueKind::kTuple || !arguments.items.empty() || callee.kind != ValueKind::kGlobal ||
      !callee.text.starts_with("__torch__.")) {
    return bad("NEWOBJ of something that is not a class of the model");
  }
  push({.kind = ValueKind::kClass, .text = callee.text});
  return {};
}

Status PickleMachine::build() {
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

Status PickleMachine::reduce() {
  if (available() < 2) return bad("REDUCE without a callable and arguments");
  const ValueId arguments_id = pop();
  const ValueId callee_id = pop();
  if (value(callee_id).kind != ValueKind::kGlobal) return bad("REDUCE of something that is not callable");
  if (value(callee_id).text.starts_with("__torch__.")) return member(value(callee_id).text, arguments_id);
  if (value(arguments_id).kind != ValueKind::kTuple) return bad("REDUCE without a tuple of arguments");
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

/// Of an enumeration: its value is all that is written.
Status PickleMachine::member(const std::string& type, ValueId item) {
  const ValueKind kind = value(item).kind;
  if (kind != ValueKind::kInt && kind != ValueKind::kString)
    return refused("'" + type + "' of something else than a whole number or a string is not allowed");
  Value made{.kind = ValueKind::kEnum, .text = type};
  made.items.push_back(item);
  push(std::move(made));
  return {};
}

Status PickleMachine::tagged(ValueId id, std::string tag) {
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

Status PickleMachine::storage() {
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

std::optional<std::vector<std::int64_t>> PickleMachine::integers(ValueId id) const {
  if (value(id).kind != ValueKind::kTuple) return std::nullopt;
  std::vector<std::int64_t> result;
  for (const ValueId item : value(id).items) {
    if (value(item).kind != ValueKind::kInt) return std::nullopt;
    result.push_back(value(item).integer);
  }
  return result;
}

Status PickleMachine::tensor(const std::vector<ValueId>& arguments) {
  if (arguments.size() != 6 || value(arguments[0]).kind != ValueKind::kStorage ||
      value(arguments[1]).kind != ValueKind::kInt || value(arguments[4]).kind != ValueKind::kBool ||
      value(arguments[5]).kind != ValueKind::kNone) {
    return bad("a tensor that is not described by storage, offset, sizes, strides, flag and no hooks");
  }
  const auto sizes = integers(arguments[2]);
  const auto strides = integers(arguments[3]);
  if (!sizes || !strides) return bad("a tensor whose sizes or strides are not integers");
  const Value& storage = value(arguments[0]);
  WASMGRAD_CHECK(check_tensor_bounds(static_cast<std::uint64_t>(storage.integer), value(arguments[1]).integer,
                                     *sizes, *strides));
  std::string type = storage.text;
  push({.kind = ValueKind::kTensor, .text = std::move(type)});
  return {};
}

}  // namespace wasmgrad::training::vet
