// What the table of options says about one of them, for those who list, read and check options.
#pragma once

#include <cmath>
#include <limits>
#include <string_view>

namespace wasmgrad::training {

struct OtherName {
  std::string_view other, name;
};

struct OptionInfo {
  std::string_view name;   ///< as the owner of a run has it
  std::string_view group;  ///< the object of a guest's options that holds it; empty: the outermost
  std::string_view key;    ///< its key in that object; empty where guests say it in another way
  std::string_view flag;   ///< a second name on command lines; may be empty
  std::string_view help;
  std::string_view default_text;  ///< what holds without a value
  std::string_view range;         ///< completes "it must be"; empty: all values of the type
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool above = false;  ///< `minimum` itself is not allowed
  bool below = false;  ///< `maximum` itself is not allowed
  bool settable = false;

  /// Whether a number is in the range. NaN and infinities never are.
  [[nodiscard]] bool allows(double value) const noexcept {
    return std::isfinite(value) && (above ? value > minimum : value >= minimum) &&
           (below ? value < maximum : value <= maximum);
  }
};

}  // namespace wasmgrad::training
