// Where the command-line tools keep what they compiled.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace wasmgrad::tools {

/// Below XDG_CACHE_HOME or ~/.cache. Empty when neither is known: nothing is kept.
inline std::filesystem::path default_cache_dir() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::filesystem::path(cache) / "wasmgrad" / "guests";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::filesystem::path(home) / ".cache" / "wasmgrad" / "guests";
  }
  return {};
}

}  // namespace wasmgrad::tools
