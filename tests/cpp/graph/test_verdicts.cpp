// Good and bad modules with the verdicts that all readers of graph modules share (tests/graph_modules).
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "../support.hpp"
#include "wasmgrad/base/file.hpp"
#include "wasmgrad/graph/executor.hpp"
#include "wasmgrad/graph/graph_file.hpp"

namespace fs = std::filesystem;

using namespace wasmgrad;
using namespace wasmgrad::graph;

namespace {

// What x = 1 becomes.
Expected<float> run(const ExecutorConfig& config) {
  const float x = 1;
  float y = 0;
  WASMGRAD_ASSIGN(Executor executor, Executor::create(config));
  WASMGRAD_CHECK(executor.write_input(0, std::as_bytes(std::span(&x, 1))));
  WASMGRAD_CHECK(executor.run());
  WASMGRAD_CHECK(executor.read_output(0, std::as_writable_bytes(std::span(&y, 1))));
  return y;
}

std::string verdict(const fs::path& module, const fs::path& cache) {
  ExecutorConfig config;
  config.module = std::move(ByteSource::open(module)).value();
  config.aot_cache = cache;
  const auto file = read_graph_file(config.module);
  if (file && file->metadata.options.threads > 1) {  // the reader takes it, the engine has one thread
    const auto executor = Executor::create(config);
    return !executor && executor.error().code == Errc::kUnsupportedOperation ? "ok" : "it runs";
  }
  const auto y = run(config);
  if (!y) return std::string(errc_name(y.error().code));
  return *y == 3.5F ? "ok" : "y is " + std::to_string(*y);
}

}  // namespace

TEST_CASE("every module gets the verdict that all readers share") {
  const char* folder = std::getenv("WASMGRAD_TEST_MODULES");
  REQUIRE_MESSAGE(folder != nullptr, "ctest runs the fixture that writes the modules, and says where");
  const test::TemporaryDirectory cache;
  const auto table = *read_file(fs::path(folder) / "verdicts.json", std::uint64_t{1} << 20);
  const auto verdicts = nlohmann::json::parse(test::text_of(table));
  REQUIRE(verdicts.size() > 200);
  for (const auto& [name, expected] : verdicts.items()) {
    CAPTURE(name);
    CHECK(verdict(fs::path(folder) / (name + ".wasm"), cache.path()) == expected.get<std::string>());
  }
}
