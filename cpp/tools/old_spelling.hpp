// Names of options that changed: both work for one release, and the old one says so.
#pragma once

#include <iostream>
#include <string_view>

namespace wasmgrad::tools {

inline void tell_old_spelling(std::string_view program, std::string_view old, std::string_view now) {
  std::cerr << program << ": " << old << " is now " << now
            << "; the old spelling goes with the next release\n";
}

}  // namespace wasmgrad::tools
