#include "wasmgrad/sandbox/signature.hpp"

#include <algorithm>
#include <cstddef>

namespace wasmgrad::sandbox {

namespace {

std::string list(const std::vector<std::optional<ValueType>>& types) {
  static constexpr const char* kNames[] = {"i32", "i64", "f32", "f64"};
  std::string joined;
  for (const auto& type : types) {
    if (!joined.empty()) joined += ", ";
    joined += type ? kNames[static_cast<std::size_t>(*type)] : "another type";
  }
  return joined;
}

}  // namespace

std::string Signature::text() const { return "(" + list(parameters) + ") -> (" + list(results) + ")"; }

bool Signature::is_plain() const {
  const auto known = [](const auto& type) { return type.has_value(); };
  return std::ranges::all_of(parameters, known) && std::ranges::all_of(results, known);
}

}  // namespace wasmgrad::sandbox
