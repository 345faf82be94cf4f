#include "wasmgrad/training/torch/pt2/json.hpp"

#include <limits>

#include "wasmgrad/base/strict_json.hpp"

namespace wasmgrad::training::pt2 {
namespace {

[[noreturn]] void refuse_type(const Json& value, const char* expected) {
  refuse_malformed(std::string("a ") + value.type_name() + " stands where a " + expected + " is expected");
}

}  // namespace

void refuse_malformed(std::string message) { throw Refusal(Errc::kInvalidEncoding, std::move(message)); }

Json parse_json(const std::string& text, std::string_view what) {
  auto parsed = parse_strict_json(text, what, kMaxDepth);
  if (!parsed) refuse_malformed(parsed.error().message);
  return std::move(parsed).value();
}

const Json& member(const Json& object, const char* key) {
  if (!object.is_object()) refuse_type(object, "object");
  const auto found = object.find(key);
  if (found == object.end()) refuse_malformed("the member '" + std::string(key) + "' is missing");
  return *found;
}

const Json& array_member(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_array()) refuse_type(value, "array");
  return value;
}

const std::string& text_member(const Json& object, const char* key) { return to_text(member(object, key)); }
bool bool_member(const Json& object, const char* key) { return to_bool(member(object, key)); }

std::int64_t to_int(const Json& value) {
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() ||
                     value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  if (!fits) refuse_type(value, "whole number of 64 bits");
  return value.get<std::int64_t>();
}

double to_double(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "Infinity") return std::numeric_limits<double>::infinity();
  if (value == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  refuse_type(value, "number");
}

bool to_bool(const Json& value) {
  if (!value.is_boolean()) refuse_type(value, "boolean");
  return value.get<bool>();
}

const std::string& to_text(const Json& value) {
  if (!value.is_string()) refuse_type(value, "string");
  return value.get_ref<const std::string&>();
}

std::pair<const std::string&, const Json&> to_union(const Json& value) {
  if (!value.is_object() || value.size() != 1) refuse_malformed("an argument is not of one kind");
  const auto only = value.begin();
  return {only.key(), only.value()};
}

}  // namespace wasmgrad::training::pt2
