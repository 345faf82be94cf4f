// Reads the pickles inside a TorchScript archive without executing anything: they become a tree of plain
// values.
//
// It knows the subset that torch.jit.save writes and refuses every other opcode and global by name. It must
// not know torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad::training::vet {

enum class ValueKind : std::uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kComplex,
  kString,
  kDevice,
  kTensor,
  kList,
  kDict,  ///< items alternate: key, value
  kTuple,
  kEnum,    ///< text is the class; the one item is its value
  kObject,  ///< text is the class; items alternate: attribute name, value
  kGlobal,  ///< a callable by name: exists on the stack only, never inside another value
  kClass,   ///< a class that NEWOBJ was applied to: exists on the stack only
  kStorage  ///< a tensor's bytes: exists as the first argument of a tensor only
};

/// Position of a value in Pickle::values. Values may be shared, but never contain themselves.
using ValueId = std::uint32_t;

struct Value {
  ValueKind kind = ValueKind::kNone;
  std::uint32_t depth = 1;       ///< levels of containers, itself included
  std::int64_t integer = 0;      ///< kInt, kBool; kStorage: number of elements
  std::string text{};            ///< kString, kDevice, kObject, kGlobal; kTensor and kStorage: element type
  std::string tag{};             ///< kList, kDict: the element type that the file claims
  std::vector<ValueId> items{};  ///< kList, kDict, kTuple, kEnum, kObject
};

struct Pickle {
  std::vector<Value> values;
  ValueId root = 0;

  [[nodiscard]] const Value& operator[](ValueId id) const { return values[id]; }
};

struct PickleLimits {
  std::uint64_t max_depth = 200;
  std::uint64_t max_values = 4'000'000;
};

/// Bytes of the record that holds storage `key`, or an error that says why there is none.
using StorageSize = std::function<Expected<std::uint64_t>(const std::string& key)>;

/// Reads `bytes`; `storage_size` is asked for each storage, and each tensor is checked to lie inside its
/// storage. Errors: kInvalidEncoding (malformed, or a tensor larger than its record), kSecurity (a global
/// that is not on the list), kTooLarge (a limit).
Expected<Pickle> read_pickle(std::string_view bytes, const PickleLimits& limits,
                             const StorageSize& storage_size);

}  // namespace wasmgrad::training::vet
