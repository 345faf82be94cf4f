// Writes a JSON object, member by member. It must not know what the members mean.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace wasmgrad {

class JsonObject {
 public:
  /// `value`: a text, a bool, a number, a list of numbers, an optional of these (left out when empty), or a
  /// type with to_json().
  template <class T>
  JsonObject& add(std::string_view key, const T& value) {
    return add_text(key, text_of(value));
  }
  template <class T>
  JsonObject& add(std::string_view key, const std::optional<T>& value) {
    return value ? add(key, *value) : *this;
  }
  /// An array of objects; left out when empty.
  template <class T>
    requires requires(const T& value) { value.to_json(); }
  JsonObject& add(std::string_view key, const std::vector<T>& values) {
    std::string array;
    for (const T& value : values) array += (array.empty() ? "[" : ",") + value.to_json();
    return values.empty() ? *this : add_text(key, array + "]");
  }
  /// An array of texts; left out when empty.
  JsonObject& add(std::string_view key, const std::vector<std::string>& values) {
    std::string array;
    for (const std::string& value : values) array += (array.empty() ? "[" : ",") + quoted(value);
    return values.empty() ? *this : add_text(key, array + "]");
  }

  [[nodiscard]] std::string to_json() const { return members_.empty() ? "{}" : members_ + "}"; }

 private:
  static std::string quoted(std::string_view text) {
    std::string json = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') json += '\\';
      if (static_cast<unsigned char>(c) < 0x20) {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", c);
        json += escape;
      } else {
        json += c;
      }
    }
    return json += '"';
  }

  template <class T>
  static std::string text_of(const T& value) {
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      return quoted(value);
    } else if constexpr (std::is_same_v<T, bool>) {
      return value ? "true" : "false";
    } else if constexpr (std::is_floating_point_v<T>) {
      char digits[32];
      std::snprintf(digits, sizeof digits, "%.17g", value);  // reads back as the same number
      return digits;
    } else if constexpr (std::is_integral_v<T>) {
      return std::to_string(value);
    } else if constexpr (std::is_same_v<T, std::vector<double>>) {
      std::string array;
      for (const double number : value) array += (array.empty() ? "[" : ",") + text_of(number);
      return array.empty() ? "[]" : array + "]";
    } else {
      return value.to_json();
    }
  }

  JsonObject& add_text(std::string_view key, const std::string& json) {
    members_ += (members_.empty() ? "{" : ",") + quoted(key) + ":" + json;
    return *this;
  }

  std::string members_;
};

}  // namespace wasmgrad
