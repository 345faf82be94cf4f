// Reading JSON that people and guests write: every key is known, every value of its type, and what is not is
// told with its path.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "wasmgrad/training/options/options.hpp"

namespace wasmgrad::training::json {

using Json = nlohmann::json;

/// Carries an error's sentence out of nested readers, to whoever parses.
struct Refused : std::runtime_error {
  explicit Refused(const std::string& what) : std::runtime_error(what) {}
};

inline std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr std::size_t kMax = 80;
  return text.size() <= kMax ? text : text.substr(0, kMax) + "...";
}

[[noreturn]] inline void refuse(const std::string& key, const Json& value, const std::string& expected) {
  throw Refused(key + " is " + shown(value) + "; expected " + expected);
}

inline std::string read_text(const std::string& key, const Json& value) {
  if (!value.is_string()) refuse(key, value, "a string");
  std::string text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) refuse(key, value, "a string without zero bytes");
  return text;
}

template <class T>
T read_integer(const std::string& key, const Json& value) {
  using Limit = std::numeric_limits<T>;
  const std::string range =
      "an integer in " + std::to_string(Limit::min()) + ".." + std::to_string(Limit::max());
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (std::cmp_less_equal(number, Limit::max())) return static_cast<T>(number);
  } else if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    if (std::in_range<T>(number)) return static_cast<T>(number);
  }
  refuse(key, value, range);
}

template <class T>
T read_value(const std::string& key, const Json& value) {
  if constexpr (std::is_same_v<T, std::vector<double>>) {
    if (!value.is_array() || value.empty() || !std::ranges::all_of(value, &Json::is_number))
      refuse(key, value, "a list of numbers");
    return value.get<T>();
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    if (!value.is_array()) refuse(key, value, "an array of strings");
    T texts;
    for (const Json& text : value) texts.push_back(read_text(key, text));
    return texts;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) refuse(key, value, "true or false");
    return value.get<bool>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) refuse(key, value, "a number");
    return value.get<T>();
  } else if constexpr (std::is_integral_v<T>) {
    return read_integer<T>(key, value);
  } else {
    const std::string name = read_text(key, value);
    const auto parsed = [&] {
      if constexpr (std::is_same_v<T, OptimizerKind>) return parse_optimizer(name);
      if constexpr (std::is_same_v<T, LossKind>) return parse_loss(name);
      if constexpr (std::is_same_v<T, ScheduleKind>) return parse_schedule(name);
      if constexpr (std::is_same_v<T, Precision>) return parse_precision(name);
    }();
    if (!parsed) throw Refused(key + ": " + parsed.error().message);
    return *parsed;
  }
}

/// Reads an object whose keys are all known. Each take() marks its key; done() refuses what is left.
class ObjectReader {
 public:
  ObjectReader(std::string path, const Json& json) : path_(std::move(path)), json_(json) {
    if (!json.is_object()) refuse(path_.empty() ? "the configuration" : path_, json, "an object");
  }

  /// The value of `key`; null counts as absent.
  const Json* take(const std::string& key) {
    known_.push_back(key);
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  [[nodiscard]] std::string name(const std::string& key) const {
    return path_.empty() ? key : path_ + "." + key;
  }

  void done() const {
    for (const auto& [key, value] : json_.items()) {
      if (std::ranges::find(known_, key) == known_.end()) {
        std::string list;
        for (const std::string& known : known_) list += (list.empty() ? "" : ", ") + known;
        throw Refused("unknown key '" + name(key) + "'; known are " + list);
      }
    }
  }

 private:
  std::string path_;
  const Json& json_;
  std::vector<std::string> known_;
};

}  // namespace wasmgrad::training::json
