// Pickled values against declared types. The interpreter finds attributes by position and does not look at
// them again.
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "wasmgrad/training/torch/vet/compiled_code.hpp"

namespace wasmgrad::training::vet {
namespace {

struct Task {
  ValueId value;
  c10::TypePtr type;
  std::string where;
};

class Conformance {
 public:
  Conformance(const CompiledCode::State& code, const Pickle& pickle) : code_(code), pickle_(pickle) {}

  Status run(const c10::ClassTypePtr& root) {
    tasks_.push_back({pickle_.root, root, root->name()->name()});
    while (!tasks_.empty()) {
      const Task task = std::move(tasks_.back());
      tasks_.pop_back();
      if (seen_.emplace(task.value, task.type.get()).second) {
        keep_.push_back(task.type);
        WASMGRAD_CHECK(check(task));
      }
    }
    return {};
  }

 private:
  [[nodiscard]] static Error mismatch(const Task& task) {
    return {Errc::kInvalidEncoding,
            "data.pkl: '" + task.where + "' holds something else than the declared type " + task.type->str()};
  }

  Status check(const Task& task) {
    const Value& value = pickle_[task.value];
    const auto kind_is = [&](ValueKind kind) {
      return value.kind == kind ? Status{} : Status{mismatch(task)};
    };
    switch (task.type->kind()) {
      case c10::TypeKind::TensorType:
        return kind_is(ValueKind::kTensor);
      case c10::TypeKind::IntType:
        return kind_is(ValueKind::kInt);
      case c10::TypeKind::FloatType:
        return kind_is(ValueKind::kFloat);
      case c10::TypeKind::ComplexType:
        return kind_is(ValueKind::kComplex);
      case c10::TypeKind::BoolType:
        return kind_is(ValueKind::kBool);
      case c10::TypeKind::StringType:
        return kind_is(ValueKind::kString);
      case c10::TypeKind::NoneType:
        return kind_is(ValueKind::kNone);
      case c10::TypeKind::DeviceObjType:
        return kind_is(ValueKind::kDevice);
      case c10::TypeKind::OptionalType:
        if (value.kind != ValueKind::kNone)
          tasks_.push_back({task.value, task.type->containedType(0), task.where});
        return {};
      case c10::TypeKind::ListType:
        return check_list(task, value);
      case c10::TypeKind::DictType:
        return check_dict(task, value);
      case c10::TypeKind::TupleType:
        return check_tuple(task, value);
      case c10::TypeKind::EnumType:
        return check_enum(task, value);
      case c10::TypeKind::ClassType:
        return check_object(task, value);
      default:
        return mismatch(task);
    }
  }

  Status check_list(const Task& task, const Value& value) {
    if (value.kind != ValueKind::kList || value.tag != task.type->annotation_str()) return mismatch(task);
    for (const ValueId item : value.items)
      tasks_.push_back({item, task.type->containedType(0), task.where + "[]"});
    return {};
  }

  Status check_dict(const Task& task, const Value& value) {
    if (value.kind != ValueKind::kDict || value.tag != task.type->annotation_str()) return mismatch(task);
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      tasks_.push_back({value.items[i], task.type->containedType(i % 2), task.where + "[]"});
    }
    return {};
  }

  Status check_tuple(const Task& task, const Value& value) {
    const auto types = task.type->containedTypes();
    if (value.kind != ValueKind::kTuple || value.items.size() != types.size()) return mismatch(task);
    for (std::size_t i = 0; i < types.size(); ++i)
      tasks_.push_back({value.items[i], types[i], task.where + "[]"});
    return {};
  }

  /// A value that is none of the enumeration's would be nothing at all where torch reads it.
  Status check_enum(const Task& task, const Value& value) {
    const auto type = task.type->expect<c10::EnumType>();
    if (value.kind != ValueKind::kEnum || value.text != type->qualifiedClassName().qualifiedName())
      return mismatch(task);
    const Value& held = pickle_[value.items[0]];
    for (const auto& [name, known] : type->enumNamesValues()) {
      if (known.isInt() && held.kind == ValueKind::kInt && known.toInt() == held.integer) return {};
      if (known.isString() && held.kind == ValueKind::kString && known.toStringRef() == held.text) return {};
    }
    return mismatch(task);
  }

  Status check_object(const Task& task, const Value& value) {
    const auto type = task.type->expect<c10::ClassType>();
    if (value.kind != ValueKind::kObject || !code_.classes.contains(value.text) ||
        code_.classes.at(value.text) != type || value.items.size() != 2 * type->numAttributes()) {
      return mismatch(task);
    }
    std::set<std::string> names;
    for (std::size_t i = 0; i < value.items.size(); i += 2) {
      const std::string& name = pickle_[value.items[i]].text;
      const auto slot = type->findAttributeSlot(name);
      if (!slot || !names.insert(name).second) return mismatch(task);
      tasks_.push_back({value.items[i + 1], type->getAttribute(*slot), task.where + "." + name});
    }
    return {};
  }

  const CompiledCode::State& code_;
  const Pickle& pickle_;
  std::vector<Task> tasks_;
  std::set<std::pair<ValueId, const c10::Type*>> seen_;
  std::vector<c10::TypePtr> keep_;  ///< so that no address in seen_ is reused
};

}  // namespace

Status check_conformance(const CompiledCode& code, const Pickle& model) try {
  const Value& root = model[model.root];
  if (root.kind != ValueKind::kObject)
    return Error{Errc::kInvalidEncoding, "data.pkl: its value is not a module"};
  const auto found = code.state().classes.find(root.text);
  if (found == code.state().classes.end()) {
    return Error{Errc::kInvalidEncoding,
                 "data.pkl: class '" + root.text + "' is not defined in the archive's code"};
  }
  WASMGRAD_CHECK(Conformance(code.state(), model).run(found->second));
  if (found->second->findMethod("forward") == nullptr) {
    return Error{Errc::kInvalidArgument, "the model's class '" + root.text + "' has no method 'forward'"};
  }
  return {};
} catch (const std::exception& error) {
  return Error{Errc::kInvalidEncoding, "data.pkl: " + first_sentence(error)};
}

}  // namespace wasmgrad::training::vet
