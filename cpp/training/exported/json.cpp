#include "wasmgrad/training/exported/json.hpp"

#include <limits>
#include <set>
#include <vector>

namespace wasmgrad::training::exported {
namespace {

[[noreturn]] void refuse_type(const Json& value, const char* expected) {
  refuse_malformed(std::string("a ") + value.type_name() + " stands where a " + expected + " is expected");
}

}  // namespace

void refuse_malformed(std::string message) { throw Refusal(Errc::kInvalidEncoding, std::move(message)); }

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kShown = 100;
  return "'" + std::string(name.substr(0, kShown)) + (name.size() > kShown ? "..." : "") + "'";
}

Json parse_json(const std::string& text, std::string_view what) {
  std::string repeated;
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end && !keys.empty()) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.empty()) {
      const auto& name = value.get_ref<const std::string&>();
      if (!keys.back().insert(name).second) repeated = name;
    }
    if (depth > kMaxDepth) {
      throw Refusal(Errc::kInvalidEncoding,
                    std::string(what) + " is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    return true;
  };
  Json parsed = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) refuse_malformed(std::string(what) + " is not JSON");
  if (!repeated.empty())
    refuse_malformed(std::string(what) + " has the key " + in_quotes(repeated) + " twice");
  return parsed;
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

}  // namespace wasmgrad::training::exported
