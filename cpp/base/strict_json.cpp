#include "wasmgrad/base/strict_json.hpp"

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "wasmgrad/base/utf8.hpp"

namespace wasmgrad {

namespace {

using Json = nlohmann::json;

// Carries a sentence out of the parser; it never leaves this file.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace

Expected<Json> parse_strict_json(std::string_view text, std::string_view what, int max_depth) {
  const std::string name(what);
  std::vector<std::set<std::string>> keys;  // of each object that is open
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (depth > max_depth)
      throw Refused(name + " is nested deeper than " + std::to_string(max_depth) + " levels");
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get_ref<const std::string&>()).second) {
      throw Refused(name + " has the key " + in_quotes(value.get_ref<const std::string&>()) + " twice");
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::parse_error& error) {
    return Error{Errc::kInvalidEncoding,
                 name + " is not JSON: it cannot be read past byte " + std::to_string(error.byte)};
  } catch (const Json::out_of_range&) {
    return Error{Errc::kInvalidArgument, name + " has a number that no f64 holds"};
  } catch (const Refused& error) {
    return Error{Errc::kInvalidArgument, error.what()};
  }
}

}  // namespace wasmgrad
