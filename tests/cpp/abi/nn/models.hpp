// The models that models.py wrote.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>

#include "../../support.hpp"
#include "wasmgrad/base/file.hpp"

namespace wasmgrad::test {

inline std::filesystem::path model_path(const std::string& name) {
  return std::filesystem::path(std::getenv("WASMGRAD_TEST_MODELS")) / (name + ".pt");
}

/// Its archive.
inline std::string model_bytes(const std::string& name) {
  const auto file = read_file(model_path(name), 1 << 20);
  REQUIRE(file);
  return text_of(*file);
}

}  // namespace wasmgrad::test
