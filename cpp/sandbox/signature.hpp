// A function's signature as a guest or a host function has it. It must not know an engine. Private to
// sandbox/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wasmgrad/base/host_function.hpp"

namespace wasmgrad::sandbox {

struct Signature {
  /// nullopt: a vector or a reference, which host functions do not have.
  std::vector<std::optional<ValueType>> parameters, results;

  Signature() = default;
  Signature(const std::vector<ValueType>& parameter_types, const std::vector<ValueType>& result_types)
      : parameters(parameter_types.begin(), parameter_types.end()),
        results(result_types.begin(), result_types.end()) {}
  bool operator==(const Signature&) const = default;
  /// "(i32, i64) -> (f32)".
  [[nodiscard]] std::string text() const;
  /// Whether every type is one of those that a Value holds.
  [[nodiscard]] bool is_plain() const;
};

}  // namespace wasmgrad::sandbox
