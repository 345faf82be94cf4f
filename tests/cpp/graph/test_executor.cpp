// Graph modules on WasmEdge: honest ones run, and whatever a module says about itself is checked.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "../support.hpp"
#include "probe.hpp"
#include "wasmgrad/graph/executor.hpp"

namespace fs = std::filesystem;

using namespace std::string_view_literals;
using namespace wasmgrad;
using namespace wasmgrad::graph;
using namespace wasmgrad::test;

namespace {

using Row = std::array<float, 4>;

const fs::path& shared_cache() {
  static const TemporaryDirectory cache;
  return cache.path();
}

std::span<const std::byte> probe_weights() { return std::as_bytes(std::span(kProbeWeights)); }

Expected<Executor> load(const std::vector<std::byte>& module,
                        std::optional<std::span<const std::byte>> weights = probe_weights(),
                        std::uint32_t max_pages = 65536) {
  ExecutorConfig config;
  config.module = std::span(module);
  config.weights = weights;
  config.max_memory_pages = max_pages;
  config.aot_cache = shared_cache();
  return Executor::create(config);
}

Executor load_probe() {
  auto executor = load(with_metadata(probe_code(), probe_metadata()));
  REQUIRE_MESSAGE(executor, (executor ? "" : executor.error().message));
  return std::move(executor).value();
}

template <class T>
T read(const Executor& executor, std::size_t index) {
  T value{};
  REQUIRE(executor.read_output(index, std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

void write(Executor& executor, const Row& x) {
  REQUIRE(executor.write_input(0, std::as_bytes(std::span(x))));
}

// The probe with one export called like another; both names have the same length.
std::vector<std::byte> renamed(std::vector<std::byte> module, std::string_view from, std::string_view to) {
  const auto found = std::ranges::search(module, std::as_bytes(std::span(from)));
  REQUIRE(!found.empty());
  std::ranges::copy(std::as_bytes(std::span(to)), found.begin());
  return module;
}

std::vector<std::byte> replaced(std::string_view from, std::string_view to) {
  return renamed(renamed(probe_code(), from, std::string(from.size(), '-')), to, from);
}

}  // namespace

TEST_CASE("a graph module runs") {
  Executor executor = load_probe();
  write(executor, {1, 2, 3, 4});
  REQUIRE(executor.run());
  CHECK(read<Row>(executor, 0) == Row{1, 4, 9, 2});
  CHECK(read<float>(executor, 1) == 59997);  // of the table, which reached the memory without the compiler
}

TEST_CASE("an input keeps its contents across runs") {
  Executor executor = load_probe();
  write(executor, {1, 2, 3, 4});
  REQUIRE(executor.run());
  REQUIRE(executor.run());
  CHECK(read<Row>(executor, 0) == Row{1, 4, 9, 2});
}

TEST_CASE("a host chooses a plan, and for how many samples") {
  auto loaded = load(with_metadata(probe_code(), metadata_of_plans()));
  REQUIRE_MESSAGE(loaded, (loaded ? "" : loaded.error().message));
  Executor executor = std::move(loaded).value();
  CHECK(executor.plan().inputs[0].shape == std::vector<std::uint64_t>{1, 4});
  REQUIRE(executor.select(1, 2));
  CHECK(executor.plan().outputs[0].shape == std::vector<std::uint64_t>{2, 4});
  const std::array<float, 8> rows{1, 2, 3, 4, 2, 2, 2, 2};
  REQUIRE(executor.write_input(0, std::as_bytes(std::span(rows))));
  REQUIRE(executor.run());
  CHECK(read<std::array<float, 8>>(executor, 0) == std::array<float, 8>{1, 4, 9, 2, 2, 4, 6, 1});
  CHECK(error_of(executor.write_input(0, std::as_bytes(std::span(rows).first(4)))).message ==
        "input 0 (x): 16 bytes; expected 32");
  CHECK(error_of(executor.select(1, 4)).code == Errc::kInvalidArgument);
  CHECK(error_of(executor.select(0, 1)).code == Errc::kInvalidArgument);
  CHECK(error_of(executor.select(2, 0)).message == "plan 2 does not exist; the module has 2");

  const std::vector<std::vector<std::uint64_t>> one{{1, 4}}, three{{3, 4}}, four{{4, 4}};
  REQUIRE(executor.select_for("run", one));
  write(executor, {1, 2, 3, 4});
  REQUIRE(executor.run());
  CHECK(read<float>(executor, 1) == 59997);
  REQUIRE(executor.select_for("run", three));
  CHECK(executor.plan().inputs[0].bytes == 48);
  CHECK(error_of(executor.select_for("run", four)).message ==
        "no plan takes inputs of these shapes; expected x: float32[1, 4]; or x: float32[1..3, 4]");
  CHECK(error_of(executor.select_for("step", one)).message == "the module has no entry 'step'");
}

TEST_CASE("a module that cannot choose what its metadata tells of is refused") {
  Json metadata = metadata_of_plans();
  CHECK(error_of(load(with_metadata(renamed(probe_code(), "graph_select", "graph_chosen"), metadata))).code ==
        Errc::kInvalidEncoding);
  metadata["further"].push_back(metadata["further"][0]);
  CHECK(error_of(load(with_metadata(probe_code(), metadata))).message ==
        "graph_select(2, 0) failed with code 1");
}

TEST_CASE("one call of the plan runs alone") {
  Executor executor = load_probe();
  write(executor, {1, 2, 3, 4});
  REQUIRE(executor.call(1));
  CHECK(read<Row>(executor, 0) == Row{});
  CHECK(read<float>(executor, 1) == 59997);
  REQUIRE(executor.call(0));
  CHECK(read<Row>(executor, 0) == Row{1, 4, 9, 2});
}

TEST_CASE("indices and lengths are checked") {
  Executor executor = load_probe();
  Row row{};
  CHECK(error_of(executor.write_input(1, std::as_bytes(std::span(row)))).message ==
        "input 1 does not exist; the module has 1");
  CHECK(error_of(executor.write_input(0, std::as_bytes(std::span(row).first(3)))).message ==
        "input 0 (x): 12 bytes; expected 16");
  CHECK(error_of(executor.read_output(2, std::as_writable_bytes(std::span(row)))).code ==
        Errc::kInvalidArgument);
  CHECK(error_of(executor.read_output(1, std::as_writable_bytes(std::span(row)))).message ==
        "output 1 (total): 16 bytes; expected 4");
  CHECK(error_of(executor.call(2)).code == Errc::kInvalidArgument);
}

TEST_CASE("a trap is an error, and the module runs again") {
  Executor executor = load_probe();
  write(executor, {666, 0, 0, 0});
  const Error error = error_of(executor.run());
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message == "guest 'graph module' trapped: unreachable");
  write(executor, {1, 1, 1, 1});
  CHECK(executor.run());
}

TEST_CASE("an error that the module reports is passed on") {
  Executor executor = load_probe();
  write(executor, {777, 0, 0, 0});
  const Error error = error_of(executor.run());
  CHECK(error.code == Errc::kRuntimeError);
  CHECK(error.message == "graph_run: the module reports error 3");
}

TEST_CASE("weights of another length or another model are refused, and so are missing ones") {
  const auto module = with_metadata(probe_code(), probe_metadata());
  CHECK(error_of(load(module, std::nullopt)).message ==
        "weights: missing; the module needs its weights file");
  CHECK(error_of(load(module, probe_weights().first(15))).message == "weights: 15 bytes; expected 16");
  const Row other{1, 2, 3, 4};
  const Error error = error_of(load(module, std::as_bytes(std::span(other))));
  CHECK(error.code == Errc::kInvalidEncoding);
  CHECK(error.message.starts_with("these are not the weights of this module: their SHA-256 is "));
}

TEST_CASE("weights for a module that holds its own are refused") {
  Json metadata = probe_metadata();
  metadata["weights"]["mode"] = "embed";
  CHECK(error_of(load(with_metadata(probe_code(), metadata))).code == Errc::kInvalidArgument);
  CHECK(load(with_metadata(probe_code(), metadata), std::nullopt));
}

TEST_CASE("bytes that are no graph module are refused") {
  CHECK(error_of(load({})).message == "not a WebAssembly module, of version 1");
  CHECK(error_of(load(probe_code())).message.starts_with("not a graph module: it has no custom section"));
  auto truncated = with_metadata(probe_code(), probe_metadata());
  truncated.pop_back();
  CHECK(error_of(load(truncated)).message.find("runs past the end") != std::string::npos);
}

TEST_CASE("a module whose code is damaged is refused") {
  auto module = with_metadata(probe_code(), probe_metadata());
  std::ranges::fill(std::span(module).subspan(8, 64), std::byte{0xff});
  CHECK(error_of(load(module)).code == Errc::kInvalidEncoding);
}

TEST_CASE("metadata that contradicts the module is refused") {
  const auto lie = [](const char* pointer, const Json& value) {
    Json metadata = probe_metadata();
    metadata[Json::json_pointer(pointer)] = value;
    const Error error = error_of(load(with_metadata(probe_code(), metadata)));
    CHECK(error.code == Errc::kInvalidEncoding);
    return error.message;
  };
  CHECK(lie("/memory/bytes", (1 << 20) + 1) ==
        "metadata.memory.bytes is 1048577; expected at most the 1048576 bytes of the module's memory");
  CHECK(lie("/inputs/0/shape", {1 << 18}).find("runs past the end of guest memory") != std::string::npos);
  CHECK(lie("/outputs/1/shape", {1 << 18}).find("runs past the end of guest memory") != std::string::npos);
  Json tensor = probe_metadata()["inputs"][0];
  tensor["name"] = "z";
  CHECK(lie("/inputs/1", tensor) == "the module has no input 1 (z), which its metadata names");
  CHECK(lie("/outputs/2", tensor) == "the module has no output 2 (z), which its metadata names");
  CHECK(lie("/inputs", Json::array()) == "the module has more inputs than the 0 of its metadata");
  CHECK(lie("/outputs", Json::array({probe_metadata()["outputs"][0]})).find("more outputs than the 1") !=
        std::string::npos);
}

TEST_CASE("a call that only the metadata knows is an error of the module") {
  Json metadata = probe_metadata();
  metadata["plan"].push_back({{"name", "ghost"}, {"kernel", "none"}, {"flops", 0}, {"bytes", 0}});
  auto executor = load(with_metadata(probe_code(), metadata));
  REQUIRE(executor);
  CHECK(error_of(executor->call(2)).message == "call 2 (ghost, none): the module reports error 1");
}

TEST_CASE("addresses are checked over the whole tensor, without wrapping around") {
  for (const char* liar : {"probe_input", "other_input"}) {
    const Error error = error_of(load(with_metadata(replaced("graph_input", liar), probe_metadata())));
    CHECK(error.code == Errc::kInvalidEncoding);
    CHECK(error.message.find("runs past the end of guest memory") != std::string::npos);
  }
  const Error error =
      error_of(load(with_metadata(replaced("graph_weights", "probe_weights"), probe_metadata())));
  CHECK(error.code == Errc::kInvalidEncoding);
  CHECK(error.message.starts_with("weights of 16 bytes at 0xffff8 runs past the end"));
}

TEST_CASE("an export that is missing or has another signature is named") {
  for (const char* name :
       {"_initialize", "graph_input", "graph_output", "graph_weights", "graph_run", "graph_call"}) {
    const std::string other(std::string_view(name).size(), '-');
    const Error error = error_of(load(with_metadata(renamed(probe_code(), name, other), probe_metadata())));
    CHECK(error.code == Errc::kInvalidEncoding);
    CHECK(error.message == "not a graph module: it does not export the function '" + std::string(name) + "'");
  }
  CHECK(error_of(load(with_metadata(replaced("graph_run", "probe_run"), probe_metadata()))).message ==
        "guest 'graph module' exports the function 'graph_run' as (i32) -> (i32); expected () -> (i32)");
  const Error memory =
      error_of(load(with_metadata(renamed(probe_code(), "memory", "------"), probe_metadata())));
  CHECK(memory.message == "not a graph module: it does not export the memory 'memory'");
}

TEST_CASE("a module that imports anything is refused") {
  // A function type, and the import of such a function as env.f.
  const auto sections = bytes_of("\0asm\1\0\0\0\1\4\1\x60\0\0\2\x09\1\3env\1f\0\0"sv);
  const std::vector<std::byte> module(sections.begin(), sections.end());
  const Error error = error_of(load(with_metadata(module, probe_metadata())));
  CHECK(error.code == Errc::kInvalidEncoding);
  CHECK(error.message == "not a graph module: it has 1 imports; expected none");
}

TEST_CASE("a module that needs more memory than allowed is refused") {
  const auto module = with_metadata(probe_code(), probe_metadata());
  CHECK(load(module, probe_weights(), 16));
  const Error error = error_of(load(module, probe_weights(), 15));
  CHECK(error.code == Errc::kTooLarge);
  CHECK(error.message.find("needs 16 pages") != std::string::npos);
}

TEST_CASE("a module is compiled once, whatever its metadata") {
  const TemporaryDirectory cache;
  const auto load_into_cache = [&](const Json& metadata) {
    const auto module = with_metadata(probe_code(), metadata);
    ExecutorConfig config;
    config.module = std::span(module);
    config.weights = probe_weights();
    config.aot_cache = cache / "modules";
    CHECK(Executor::create(config));
  };
  load_into_cache(probe_metadata());
  const auto entries = [&] { return fs::directory_iterator(cache / "modules"); };
  REQUIRE(std::distance(entries(), fs::directory_iterator()) == 1);
  const auto written = fs::last_write_time(entries()->path());
  CHECK(fs::file_size(entries()->path()) < 65536);  // the table is not in it
  Json metadata = probe_metadata();
  metadata["labels"] = {"cat"};
  load_into_cache(metadata);
  REQUIRE(std::distance(entries(), fs::directory_iterator()) == 1);
  CHECK(fs::last_write_time(entries()->path()) == written);
}

TEST_CASE("relaxed SIMD is for graph modules only") {
  sandbox::SandboxConfig config;
  config.module = probe_code();
  config.name = "probe.wasm";
  const Error error = error_of(sandbox::Sandbox::create(std::move(config)));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message.find("relaxed SIMD") != std::string::npos);
}

TEST_CASE("bits of a relaxed result may be looked at") {
  Executor executor = load_probe();
  write(executor, {-0.0F, -1, 2, -3});
  REQUIRE(executor.run());
  const Row y = read<Row>(executor, 0);
  CHECK(y == Row{0, -2, 6, -1.5F});
  CHECK_FALSE(std::signbit(y[0]));
}

TEST_CASE("a state goes on from run to run until it is set or reset") {
  auto loaded = load(with_metadata(probe_code(), stateful_metadata()));
  REQUIRE_MESSAGE(loaded, (loaded ? "" : loaded.error().message));
  Executor& executor = *loaded;
  const auto seen = [&] {
    float value = -1;
    REQUIRE(executor.read_state(0, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  };
  CHECK(seen() == 0);
  write(executor, {2, 0, 0, 0});
  REQUIRE(executor.run());
  REQUIRE(executor.run());
  CHECK(seen() == 4);
  const float set = 10;
  REQUIRE(executor.write_state(0, std::as_bytes(std::span(&set, 1))));
  REQUIRE(executor.run());
  CHECK(seen() == 12);
  REQUIRE(executor.reset());
  CHECK(seen() == 0);
}

TEST_CASE("a state that does not exist, and another length, are refused") {
  auto loaded = load(with_metadata(probe_code(), stateful_metadata()));
  REQUIRE(loaded);
  std::array<std::byte, 8> bytes{};
  CHECK(error_of(loaded->read_state(1, bytes)).message == "state 1 does not exist; the module has 1");
  CHECK(error_of(loaded->read_state(0, bytes)).message == "state 0 (seen): 8 bytes; expected 4");
  CHECK(error_of(loaded->write_state(0, bytes)).message == "state 0 (seen): 8 bytes; expected 4");
  Executor without = load_probe();
  CHECK(error_of(without.write_state(0, bytes)).message == "state 0 does not exist; the module has 0");
  CHECK(without.reset());
}
