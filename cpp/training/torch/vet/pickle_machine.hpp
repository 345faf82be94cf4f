// The stack machine of read_pickle(): its state, and one function for each opcode. Private to vet/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wasmgrad/training/torch/vet/pickle.hpp"

namespace wasmgrad::training::vet {

class PickleMachine {
 public:
  /// What is given outlives the machine.
  PickleMachine(std::string_view bytes, const PickleLimits& limits, const StorageSize& storage_size)
      : bytes_(bytes), limits_(limits), storage_size_(storage_size) {}

  /// Once.
  Expected<Pickle> run();

 private:
  [[nodiscard]] Error bad(const std::string& what) const;
  [[nodiscard]] Error too_deep() const;
  [[nodiscard]] static Error refused(const std::string& what) { return {Errc::kSecurity, what}; }

  // Reading; no value where the bytes end too soon.
  [[nodiscard]] std::optional<std::string_view> take(std::size_t count);
  [[nodiscard]] std::optional<std::string_view> line();
  template <class T>
  [[nodiscard]] std::optional<T> number();

  // The stack.
  [[nodiscard]] const Value& value(ValueId id) const { return pickle_.values[id]; }
  [[nodiscard]] bool is_data(ValueId id) const { return value(id).kind < ValueKind::kGlobal; }
  /// The number of values above the top mark (or above the bottom when there is none).
  [[nodiscard]] std::size_t available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  void push(Value value);
  [[nodiscard]] ValueId pop();
  /// Takes everything above the last mark.
  [[nodiscard]] std::optional<std::vector<ValueId>> pop_to_mark();
  Status set_items(Value& container, std::vector<ValueId> items);
  [[nodiscard]] Status check_data(const std::vector<ValueId>& items) const;

  // Opcodes of plain values, containers and the memo: pickle.cpp.
  Status step();
  /// Pushes what an opcode and its operands are by themselves.
  Status literal(std::uint8_t opcode);
  Status mark();
  template <class T>
  Status push_int(std::optional<T> number);
  Status long_int();
  Status string();
  Status push_tuple(std::vector<ValueId> items);
  Status tuple_from_mark();
  Status tuple(std::size_t count);
  /// The container below the items, which must be new: one that is known by a memo entry could be put into
  /// itself.
  [[nodiscard]] Value* fresh_container(ValueKind kind);
  Status appends();
  Status set_items_from_mark();
  template <class T>
  Status put(std::optional<T> slot);
  template <class T>
  Status get(std::optional<T> slot);

  // Opcodes of classes, calls and tensors: pickle_objects.cpp.
  Status global();
  Status new_object();
  Status build();
  Status reduce();
  Status member(const std::string& type, ValueId item);
  Status tagged(ValueId id, std::string tag);
  Status storage();
  [[nodiscard]] std::optional<std::vector<std::int64_t>> integers(ValueId id) const;
  Status tensor(const std::vector<ValueId>& arguments);

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

}  // namespace wasmgrad::training::vet
