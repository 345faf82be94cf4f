// Graph modules behind wasi_ephemeral_nn, and next to a guest that runs on the same engine.
#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "../graph/probe.hpp"
#include "wasmgrad/runner/graph_backend.hpp"

using namespace wasmgrad;
using namespace wasmgrad::runner;
using namespace wasmgrad::test;

namespace {

using Row = std::array<float, 4>;

GraphBackend& backend() {
  static const TemporaryDirectory cache;
  static GraphBackend made(cache.path());
  return made;
}

std::span<const std::byte> probe_weights() { return std::as_bytes(std::span(kProbeWeights)); }

std::vector<std::byte> probe() { return with_metadata(probe_code(), probe_metadata()); }

Expected<std::shared_ptr<abi::nn::Graph>> load(const std::vector<std::byte>& module,
                                               std::uint64_t max_bytes = std::uint64_t{1} << 30) {
  const std::array parts{std::span<const std::byte>(module), probe_weights()};
  return backend().load(parts, "probe", max_bytes);
}

std::shared_ptr<abi::nn::Graph> load_probe() {
  auto graph = load(probe());
  REQUIRE_MESSAGE(graph, (graph ? "" : graph.error().message));
  return std::move(graph).value();
}

TensorView view(const Row& row, std::vector<std::int64_t> shape = {1, 4}, DType dtype = DType::kF32) {
  auto made = TensorView::create("x", dtype, std::move(shape), std::as_bytes(std::span(row)));
  REQUIRE(made);
  return std::move(made).value();
}

template <class T>
std::vector<T> values_of(const training::Output& output) {
  std::vector<T> values(output.bytes.size() / sizeof(T));
  std::ranges::copy(output.bytes, std::as_writable_bytes(std::span(values)).begin());
  return values;
}

}  // namespace

TEST_CASE("WebAssembly is recognized, and nothing else") {
  CHECK(backend().recognizes(probe()));
  CHECK_FALSE(backend().recognizes({}));
  CHECK_FALSE(backend().recognizes(bytes_of("PK\3\4")));
  CHECK_FALSE(backend().recognizes(bytes_of("asm")));
  CHECK_FALSE(backend().encoding());
}

TEST_CASE("a module and its weights compute, again and again") {
  const auto graph = load_probe();
  REQUIRE(graph->inputs().size() == 1);
  CHECK(graph->inputs()[0].name == "x");
  CHECK(graph->inputs()[0].required);
  CHECK(graph->bytes() == 1 << 20);
  for (const float first : {10.0F, 20.0F}) {
    const Row x{first, 1, 1, 1};
    REQUIRE(graph->check_input(0, view(x)));
    const auto outputs = graph->compute(std::array{view(x)}, 1000);
    REQUIRE(outputs);
    REQUIRE(outputs->size() == 2);
    CHECK((*outputs)[0].name == "y");
    CHECK((*outputs)[0].shape == std::vector<std::int64_t>{1, 4});
    CHECK(values_of<float>((*outputs)[0]) == std::vector<float>{first, 2, 3, 0.5F});
    CHECK((*outputs)[1].shape.empty());
  }
}

TEST_CASE("an input of another shape or type is refused with both") {
  const auto graph = load_probe();
  const Row x{};
  const Error shape = error_of(graph->check_input(0, view(x, {4})));
  CHECK(shape.code == Errc::kInvalidArgument);
  CHECK(shape.message == "a tensor of f32 [4] was given; the graph takes f32 [1, 4]");
  CHECK(error_of(graph->check_input(0, view(x, {1, 4}, DType::kI32))).message ==
        "a tensor of i32 [1, 4] was given; the graph takes f32 [1, 4]");
}

TEST_CASE("a module that traps or fails is an error, and goes on working") {
  const auto graph = load_probe();
  for (const float bad : {666.0F, 777.0F}) {
    const Row x{bad, 0, 0, 0};
    CHECK(error_of(graph->compute(std::array{view(x)}, 1000)).code == Errc::kRuntimeError);
  }
  const Row x{1, 1, 1, 1};
  CHECK(graph->compute(std::array{view(x)}, 1000));
}

TEST_CASE("outputs beyond the budget are refused before the module runs") {
  const Row x{};
  CHECK(error_of(load_probe()->compute(std::array{view(x)}, 19)).code == Errc::kTooLarge);
}

TEST_CASE("a module that needs more memory than is left, or has a type that guests lack, is refused") {
  CHECK(error_of(load(probe(), 1 << 19)).code == Errc::kTooLarge);
  Json metadata = probe_metadata();
  metadata["outputs"][1]["dtype"] = "uint32";
  const Error error = error_of(load(with_metadata(probe_code(), metadata)));
  CHECK(error.code == Errc::kUnsupportedOperation);
  CHECK(error.message ==
        "model 'probe': the module's tensor 'total' is of uint32, a type that guests cannot exchange");
}

TEST_CASE("weights that are missing, and a part too many, are refused") {
  const std::vector<std::byte> module = probe();
  const std::span<const std::byte> part = module;
  CHECK(error_of(backend().load(std::array{part}, "probe", 1 << 30)).code == Errc::kInvalidArgument);
  CHECK(error_of(backend().load(std::array{part, probe_weights(), part}, "probe", 1 << 30)).code ==
        Errc::kInvalidArgument);
}

TEST_CASE("WebAssembly that is no graph module is refused") {
  const Error error = error_of(load(probe_code()));
  CHECK(error.code == Errc::kInvalidEncoding);
  CHECK(error.message.starts_with("model 'probe': "));
}

TEST_CASE("each context goes on from its own state") {
  auto loaded = load(with_metadata(probe_code(), stateful_metadata()));
  REQUIRE(loaded);
  abi::nn::Graph& graph = **loaded;
  CHECK(graph.state_bytes() == sizeof(float));
  auto one = std::make_shared<abi::nn::GraphState>(), other = std::make_shared<abi::nn::GraphState>();
  const auto step = [&](const std::shared_ptr<abi::nn::GraphState>& state, float first) {
    const Row x{first, 0, 0, 0};
    REQUIRE(graph.go_on_from(state));
    REQUIRE(graph.compute(std::array{view(x)}, 1000));
  };
  // What a context has seen, which its state says once another one goes on.
  const auto seen = [&](std::shared_ptr<abi::nn::GraphState> state) {
    REQUIRE(graph.go_on_from(std::make_shared<abi::nn::GraphState>()));
    return values_of<float>({"seen", DType::kF32, {1}, *state});
  };
  step(one, 1);
  step(one, 2);
  step(other, 10);
  step(one, 4);
  step(other, 20);
  CHECK(seen(other) == std::vector<float>{30});
  CHECK(seen(one) == std::vector<float>{7});
  step(one, 1);
  one.reset();
  const auto third = std::make_shared<abi::nn::GraphState>();
  step(third, 5);
  CHECK(seen(third) == std::vector<float>{5});
}

TEST_CASE("a graph without states keeps none") {
  const auto graph = load_probe();
  const auto state = std::make_shared<abi::nn::GraphState>();
  CHECK(graph->state_bytes() == 0);
  REQUIRE(graph->go_on_from(state));
  CHECK(state->empty());
}

TEST_CASE("the shapes of a guest's tensors choose the plan") {
  auto graph = load(with_metadata(probe_code(), metadata_of_plans()));
  REQUIRE_MESSAGE(graph, (graph ? "" : graph.error().message));
  const std::array<float, 12> rows{1, 2, 3, 4, 2, 2, 2, 2, 0, 0, 0, 4};
  const auto of_rows = [&](std::int64_t count) {
    auto made = TensorView::create("x", DType::kF32, {count, 4},
                                   std::as_bytes(std::span(rows).first(static_cast<std::size_t>(count) * 4)));
    REQUIRE(made);
    return std::move(made).value();
  };
  for (const std::int64_t count : {3, 1, 2}) {
    const TensorView x = of_rows(count);
    REQUIRE((*graph)->check_input(0, x));
    const auto outputs = (*graph)->compute(std::span(&x, 1), 1 << 20);
    REQUIRE_MESSAGE(outputs, (outputs ? "" : outputs.error().message));
    CHECK(outputs->size() == (count == 1 ? 2 : 1));  // one row is what the first plan takes
    CHECK(outputs->front().shape == std::vector<std::int64_t>{count, 4});
    CHECK(values_of<float>(outputs->front()).back() == std::array{2.0F, 1.0F, 2.0F}[count - 1]);
  }
  const Row row{};
  CHECK(error_of((*graph)->check_input(0, view(row, {4, 1}))).message ==
        "a tensor of f32 [4, 1] was given; the graph takes f32 [1, 4] or f32 [1, 4] to [3, 4]");
}
