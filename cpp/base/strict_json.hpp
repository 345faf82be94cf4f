// JSON that comes from outside: bounded in depth, with no key twice in an object, which a plain parse would
// drop silently. It must not know what the text is for.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "wasmgrad/base/status.hpp"

namespace wasmgrad {

/// The document. `what` names the text in errors: "the options". Errors: kInvalidEncoding when it is not
/// JSON; kInvalidArgument when it is nested deeper than `max_depth` levels, repeats a key, or has a number
/// that no f64 holds. Bound the text's length before.
Expected<nlohmann::json> parse_strict_json(std::string_view text, std::string_view what, int max_depth);

}  // namespace wasmgrad
