// TorchScript saves code as text and parses it again: a name must be a word there, and no word that means
// something else.
#include "wasmgrad/training/model/model_names.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace wasmgrad::training {

namespace {

using Json = nlohmann::json;
using namespace std::string_view_literals;

/// Words of the grammar, and the members that every module has. Sorted.
constexpr auto kNoAttribute = std::to_array<std::string_view>(
    {"False",    "None",   "True",     "and",  "as",    "assert", "async",    "await", "break",   "class",
     "continue", "def",    "del",      "elif", "else",  "except", "finally",  "for",   "forward", "from",
     "global",   "if",     "import",   "in",   "is",    "lambda", "nonlocal", "not",   "or",      "pass",
     "raise",    "return", "training", "try",  "while", "with",   "yield"});

/// What printed code calls, and what an argument of the same name would hide. Sorted.
constexpr auto kNoArgument = std::to_array<std::string_view>({"Any",
                                                              "AnyClassType",
                                                              "AnyEnumType",
                                                              "AnyListType",
                                                              "AnyTupleType",
                                                              "Await",
                                                              "BroadcastingList",
                                                              "CONSTANTS",
                                                              "Device",
                                                              "Dict",
                                                              "Final",
                                                              "Future",
                                                              "Generator",
                                                              "Layout",
                                                              "List",
                                                              "MemoryFormat",
                                                              "NoneType",
                                                              "Optional",
                                                              "QScheme",
                                                              "RRef",
                                                              "Storage",
                                                              "Stream",
                                                              "Tensor",
                                                              "Tuple",
                                                              "Union",
                                                              "_",
                                                              "abs",
                                                              "all",
                                                              "annotate",
                                                              "any",
                                                              "aten",
                                                              "attribute",
                                                              "awaitable",
                                                              "bin",
                                                              "bool",
                                                              "chr",
                                                              "complex",
                                                              "dict",
                                                              "divmod",
                                                              "enumerate",
                                                              "float",
                                                              "fork",
                                                              "format",
                                                              "getattr",
                                                              "hasattr",
                                                              "hash",
                                                              "hex",
                                                              "inf",
                                                              "infj",
                                                              "int",
                                                              "isinstance",
                                                              "len",
                                                              "list",
                                                              "map",
                                                              "max",
                                                              "min",
                                                              "nan",
                                                              "nanj",
                                                              "number",
                                                              "oct",
                                                              "ops",
                                                              "ord",
                                                              "pow",
                                                              "prim",
                                                              "print",
                                                              "range",
                                                              "rangelist",
                                                              "reversed",
                                                              "round",
                                                              "self",
                                                              "set",
                                                              "slice",
                                                              "sorted",
                                                              "str",
                                                              "sum",
                                                              "super",
                                                              "torch",
                                                              "tuple",
                                                              "type",
                                                              "unchecked_cast",
                                                              "uninitialized",
                                                              "zip"});

static_assert(std::ranges::is_sorted(kNoAttribute) && std::ranges::is_sorted(kNoArgument));

constexpr std::string_view kVersionKey = "version";
constexpr int kVersion = 1;

bool is_letter(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_attribute(std::string_view name) {
  // What is no identifier is read by getattr(self, "name").
  const bool plain =
      std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c) || c == '-'; });
  return plain && !name.empty() && !name.starts_with("__"sv) &&
         !std::ranges::binary_search(kNoAttribute, name);
}

bool is_argument(std::string_view name) {
  return is_attribute(name) && !is_digit(name.front()) && name.find('-') == std::string_view::npos &&
         !std::ranges::binary_search(kNoArgument, name);
}

template <class Carries>
std::string carried(std::string_view name, std::set<std::string>& taken, Carries&& carries) {
  std::string text(name);
  if (!carries(text) || taken.contains(text)) {
    const auto word = [](char c) { return is_letter(c) || is_digit(c) ? c : '_'; };
    std::ranges::transform(text, text.begin(), word);
    text.erase(0, std::min(text.find_first_not_of('_'), text.size()));
    if (text.empty() || is_digit(text.front())) text.insert(0, "n");
    do text += '_';
    while (!carries(text) || taken.contains(text));
  }
  taken.insert(text);
  return text;
}

Expected<std::map<std::string, std::string>> read_table(const Json& record, const char* key) {
  std::map<std::string, std::string> table;
  const auto found = record.find(key);
  const bool is_table = found != record.end() && found->is_object() &&
                        std::ranges::all_of(*found, [](const Json& value) { return value.is_string(); });
  if (!is_table) {
    return Error{Errc::kInvalidEncoding,
                 "its record of names has no table '" + std::string(key) + "' of names by names"};
  }
  for (const auto& [carried, own] : found->items()) table.emplace(carried, own.get<std::string>());
  return table;
}

}  // namespace

std::string carried_attribute(std::string_view name, std::set<std::string>& taken) {
  return carried(name, taken, is_attribute);
}

std::string carried_argument(std::string_view name, std::set<std::string>& taken) {
  return carried(name, taken, is_argument);
}

bool hides_a_word(std::string_view variable) { return !is_argument(variable); }

std::string write_names(const ModelNames& names) {
  return Json{{kVersionKey, kVersion}, {"tensors", names.tensors}, {"arguments", names.arguments}}.dump(
      -1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

Expected<ModelNames> read_names(const std::string& text) {
  const Json record = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains(kVersionKey) || record[kVersionKey] != kVersion)
    return Error{Errc::kInvalidEncoding, "its record of names is not one of version 1"};
  ModelNames names;
  WASMGRAD_ASSIGN(names.tensors, read_table(record, "tensors"));
  WASMGRAD_ASSIGN(names.arguments, read_table(record, "arguments"));
  return names;
}

}  // namespace wasmgrad::training
