// The JSON of an exported program, read with bounds: whatever is missing or of another type is refused with
// where it stands.
//
// It must not know torch.
#pragma once

#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "wasmgrad/base/status.hpp"
#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad::training::pt2 {

using Json = nlohmann::json;

/// Ends the reading of a program. Thrown inside exported/ only; load_exported returns its error.
class Refusal : public std::exception {
 public:
  Refusal(Errc code, std::string message) : error_{code, std::move(message)} {}
  [[nodiscard]] const char* what() const noexcept override { return error_.message.c_str(); }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

/// Ends the reading because the bytes are not what torch.export.save writes.
[[noreturn]] void refuse_malformed(std::string message);

/// One JSON object or array of at most kMaxDepth levels, no key twice in an object. `what` names the text.
constexpr int kMaxDepth = 24;
Json parse_json(const std::string& text, std::string_view what);

/// The member `key` of an object.
const Json& member(const Json& object, const char* key);
const Json& array_member(const Json& object, const char* key);
const std::string& text_member(const Json& object, const char* key);
bool bool_member(const Json& object, const char* key);

std::int64_t to_int(const Json& value);
double to_double(const Json& value);  ///< "Infinity", "-Infinity" and "NaN" are written as text
bool to_bool(const Json& value);
const std::string& to_text(const Json& value);

/// The one member of a tagged union, {"as_int": 3}: its tag and its value.
std::pair<const std::string&, const Json&> to_union(const Json& value);

}  // namespace wasmgrad::training::pt2
