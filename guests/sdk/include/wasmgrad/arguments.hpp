// Command line of a guest: "--name value", "--name=value", flags and positional arguments, with errors as
// sentences.
//
// Each accessor takes its option out of the list; what is left when positional() is called is either
// positional or unknown.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wasmgrad/fail.hpp"

namespace wasmgrad {

class Arguments {
 public:
  /// Prints `usage` and exits with 0 when --help is there.
  Arguments(int argc, char** argv, const char* usage) : arguments_(argv + (argc > 0), argv + argc) {
    if (flag("--help")) {
      std::fputs(usage, stdout);
      std::exit(0);
    }
  }

  [[nodiscard]] bool flag(std::string_view name) { return std::erase(arguments_, name) != 0; }

  [[nodiscard]] std::optional<std::string> text(std::string_view name) {
    for (auto it = arguments_.begin(); it != arguments_.end(); ++it) {
      if (*it == name) {
        if (it + 1 == arguments_.end()) fail_usage("%.*s needs a value", width(name), name.data());
        std::string value(it[1]);
        arguments_.erase(it, it + 2);
        return value;
      }
      if (it->starts_with(name) && it->substr(name.size()).starts_with('=')) {
        std::string value(it->substr(name.size() + 1));
        arguments_.erase(it);
        return value;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] std::string text(std::string_view name, std::string_view fallback) {
    return text(name).value_or(std::string(fallback));
  }

  /// Any whole number from `minimum` up that `Integer` holds.
  template <class Integer>
    requires(std::is_signed_v<Integer> || sizeof(Integer) < sizeof(std::int64_t))
  [[nodiscard]] Integer integer(std::string_view name, Integer fallback,
                                Integer minimum = std::numeric_limits<Integer>::min()) {
    const auto value = text(name);
    if (!value) return fallback;
    Integer number{};
    const char* end = value->data() + value->size();
    const auto [stop, error] = std::from_chars(value->data(), end, number);
    if (error != std::errc{} || stop != end || number < minimum) {
      fail_usage("%.*s takes a whole number from %lld to %lld, not '%s'", width(name), name.data(),
                 static_cast<long long>(minimum), static_cast<long long>(std::numeric_limits<Integer>::max()),
                 value->c_str());
    }
    return number;
  }

  /// Any number, "nan" and "inf" included: whether it makes sense is for the caller or the host to say.
  [[nodiscard]] double number(std::string_view name, double fallback) {
    const auto value = text(name);
    if (!value) return fallback;
    char* end = nullptr;
    const double number = std::strtod(value->c_str(), &end);
    if (value->empty() || *end != '\0') {
      fail_usage("%.*s takes a number, not '%s'", width(name), name.data(), value->c_str());
    }
    return number;
  }

  /// One of a fixed set of names, as its value. `choices` is an array of {name, value}.
  template <class T, std::size_t N>
  [[nodiscard]] T choice(std::string_view name, T fallback, const std::pair<const char*, T> (&choices)[N]) {
    const auto value = text(name);
    if (!value) return fallback;
    std::string known;
    for (const auto& [spelling, meaning] : choices) {
      if (*value == spelling) return meaning;
      known += known.empty() ? "" : ", ";
      known += spelling;
    }
    fail_usage("%.*s is one of %s, not '%s'", width(name), name.data(), known.c_str(), value->c_str());
  }

  /// What remains, when every option has been asked for: at most `maximum` positional arguments.
  [[nodiscard]] std::vector<std::string> positional(std::size_t maximum) {
    for (std::string_view argument : arguments_) {
      if (argument.starts_with("--")) {
        fail_usage("unknown option '%.*s'; --help lists the known ones", width(argument), argument.data());
      }
    }
    if (arguments_.size() > maximum) {
      fail_usage("at most %zu positional arguments are taken, not %zu", maximum, arguments_.size());
    }
    return {arguments_.begin(), arguments_.end()};
  }

 private:
  static int width(std::string_view text) { return static_cast<int>(text.size()); }

  std::vector<std::string_view> arguments_;
};

}  // namespace wasmgrad
