// The hand-written graph module of the tests (tests/guests/graph_probe.cpp) with metadata that fits it, to be
// changed and attached by a test.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "../support.hpp"
#include "wasmgrad/base/file.hpp"
#include "wasmgrad/base/sha256.hpp"
#include "wasmgrad/sandbox/section_reader.hpp"

namespace wasmgrad::test {

using Json = nlohmann::json;

inline constexpr std::array<float, 4> kProbeWeights{1, 2, 3, 0.5F};

/// The module with a page more of memory than it was linked with: there its tensors are.
inline const std::vector<std::byte>& probe_code() {
  static const std::vector<std::byte> module = [] {
    using namespace std::string_view_literals;
    std::vector<std::byte> linked = *read_file(PROBE_MODULE, std::uint64_t{1} << 24);
    const auto section = std::ranges::search(linked, bytes_of("\5\4\1\1\x0f\x0f"sv));
    REQUIRE(!section.empty());
    std::ranges::fill(section.begin() + 4, section.end(), std::byte{16});
    return linked;
  }();
  return module;
}

inline Json probe_metadata() {
  const std::string digest = to_hex(Sha256().update(std::as_bytes(std::span(kProbeWeights))).finish());
  const auto tensor = [](const char* name, const Json& shape) {
    return Json{{"name", name}, {"dtype", "float32"}, {"shape", shape}};
  };
  const auto call = [](const char* name, const char* kernel) {
    return Json{{"name", name}, {"kernel", kernel}, {"flops", 4}, {"bytes", 48}};
  };
  return {{"abi", 1},
          {"producer", "a test"},
          {"model", {{"name", "probe"}, {"format", "onnx"}, {"sha256", digest}, {"opset", 18}}},
          {"inputs", {tensor("x", {1, 4})}},
          {"outputs", {tensor("y", {1, 4}), tensor("total", Json::array())}},
          {"operators", {{"Mul", 1}, {"ReduceSum", 2}}},
          {"parameters", 4},
          {"flops", 8},
          {"memory", {{"bytes", 1 << 20}, {"weights", sizeof kProbeWeights}, {"workspace", 64}}},
          {"weights", {{"mode", "file"}, {"bytes", sizeof kProbeWeights}, {"sha256", digest}}},
          {"options", {{"simd", "relaxed"}, {"opt_level", 3}}},
          {"plan", {call("mul", "multiply"), call("sum", "sum")}},
          {"preprocess", nullptr},
          {"labels", nullptr}};
}

/// The same, telling of the second plan, too.
inline Json metadata_of_plans() {
  Json metadata = probe_metadata();
  const auto rows = [](const char* name) {
    return Json{{"name", name}, {"dtype", "float32"}, {"shape", {3, 4}}, {"batched", {0}}};
  };
  metadata["further"] = {
      {{"entry", "run"},
       {"batch", {{"least", 1}, {"most", 3}}},
       {"inputs", {rows("x")}},
       {"outputs", {rows("y")}},
       {"flops", 12},
       {"plan", {{{"name", "mul"}, {"kernel", "multiply"}, {"flops", 12}, {"bytes", 112}}}}}};
  return metadata;
}

/// The same as the first, telling of the state.
inline Json stateful_metadata() {
  Json metadata = probe_metadata();
  metadata["states"] = {{{"name", "seen"}, {"dtype", "float32"}, {"shape", {1}}, {"output", "seen_next"}}};
  return metadata;
}

/// `module` and a custom section at its end.
inline std::vector<std::byte> with_section(std::vector<std::byte> module, std::string_view name,
                                           std::string_view contents) {
  const auto text = [](std::vector<std::byte>& out, std::string_view characters) {
    for (const char c : characters) out.push_back(static_cast<std::byte>(c));
  };
  std::vector<std::byte> section;
  sandbox::append_number(section, name.size());
  text(section, name);
  text(section, contents);
  module.push_back(std::byte{0});
  sandbox::append_number(module, section.size());
  module.insert(module.end(), section.begin(), section.end());
  return module;
}

inline std::vector<std::byte> with_metadata(std::vector<std::byte> module, const Json& metadata) {
  return with_section(std::move(module), "wasmgrad.graph", metadata.dump());
}

}  // namespace wasmgrad::test
