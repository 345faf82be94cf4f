// Every function of wasi_ephemeral_nn and each of its errors, on a back end that only copies.
#include <doctest/doctest.h>

#include <array>
#include <functional>

#include "../../support.hpp"
#include "nn_guest.hpp"

using namespace wasmgrad;
using namespace wasmgrad::abi;
using namespace wasmgrad::test;

namespace {

// Returns its inputs, and one more output that is as large as its name says: "ECHO <bytes>".
class EchoGraph final : public nn::Graph {
 public:
  explicit EchoGraph(std::uint64_t extra) : extra_(extra) {}
  [[nodiscard]] const std::vector<nn::GraphInput>& inputs() const override { return inputs_; }
  [[nodiscard]] std::uint64_t bytes() const override { return 1000; }
  [[nodiscard]] Status check_input(std::size_t index, const TensorView& tensor) const override {
    if (index != 1 || tensor.dtype() == DType::kI64) return {};
    return Error{Errc::kInvalidArgument, "it takes i64"};
  }
  Expected<std::vector<training::Output>> compute(std::span<const TensorView> inputs,
                                                  std::uint64_t max_output_bytes) override {
    if (while_computing) while_computing();
    std::vector<training::Output> outputs;
    for (const TensorView& input : inputs) {
      if (input.dtype() == DType::kF64) return Error{Errc::kRuntimeError, "it fails on f64"};
      outputs.push_back(
          {input.name(), input.dtype(), input.shape(), {input.data().begin(), input.data().end()}});
    }
    if (extra_ > max_output_bytes) return Error{Errc::kTooLarge, "the outputs are too large"};
    outputs.push_back({"extra", DType::kU8, {}, std::vector<std::byte>(extra_)});
    return outputs;
  }
  [[nodiscard]] std::uint64_t state_bytes() const override { return state_size; }
  Status go_on_from(const std::shared_ptr<nn::GraphState>& state) override {
    states.push_back(state);
    return {};
  }
  static inline std::function<void()> while_computing;
  static inline std::uint64_t state_size = 0;
  static inline std::vector<std::weak_ptr<nn::GraphState>> states;  // gone on from, one after another

 private:
  std::vector<nn::GraphInput> inputs_{{"a", true}, {"b", true}, {"c", false}};
  std::uint64_t extra_;
};

class EchoBackend final : public nn::Backend {
 public:
  [[nodiscard]] std::optional<nn::Encoding> encoding() const override { return nn::Encoding::kPyTorch; }
  [[nodiscard]] bool recognizes(std::span<const std::byte> part) const override {
    return text_of(part).starts_with("ECHO");
  }
  Expected<std::shared_ptr<nn::Graph>> load(std::span<const std::span<const std::byte>> parts,
                                            const std::string& name, std::uint64_t max_bytes) override {
    if (text_of(parts[0]) == "ECHO evil") return Error{Errc::kSecurity, "it is evil"};
    if (!recognizes(parts[0])) return Error{Errc::kInvalidEncoding, "model '" + name + "' is no echo"};
    if (max_bytes < 1000) return Error{Errc::kTooLarge, "no room"};
    loaded_parts = parts.size();
    return std::shared_ptr<nn::Graph>(
        std::make_shared<EchoGraph>(std::stoull("0" + text_of(parts[0]).substr(5))));
  }
  static inline std::size_t loaded_parts = 0;
};

std::vector<std::unique_ptr<nn::Backend>> echo() {
  std::vector<std::unique_ptr<nn::Backend>> backends;
  backends.push_back(std::make_unique<EchoBackend>());
  return backends;
}

constexpr std::string_view kModel = "ECHO 0";
constexpr std::uint32_t kResult = NnGuest::kResult;

// A guest with one graph and one context, of which the first two inputs can be set.
struct Loaded : NnGuest {
  explicit Loaded(HostConfig config = {}) : NnGuest(std::move(config), echo()) {
    graph = load(kModel);
    execution = context_of(graph);
    a = tensor<float>({2}, DType::kF32, {1, 2});
    b = tensor<std::int64_t>({1, 1}, DType::kI64, {7});
    write_u32(kResult, 0);
  }
  void set_both() {
    REQUIRE(call("set_input", {execution, 0, a}) == Errno::kSuccess);
    REQUIRE(call("set_input", {execution, 1, b}) == Errno::kSuccess);
  }
  std::uint32_t graph, execution, a, b;
};

}  // namespace

TEST_CASE("the imports have the signatures that other hosts' guests expect") {
  const NnGuest guest({}, echo());
  const auto is = [&](const char* name, std::size_t parameters) {
    const HostFunction& function = guest.functions().at(name);
    return function.module == "wasi_ephemeral_nn" &&
           function.parameters == std::vector(parameters, ValueType::kI32) &&
           function.results == std::vector{ValueType::kI32};
  };
  CHECK(is("load", 5));
  CHECK(is("load_by_name", 3));
  CHECK(is("load_by_name_with_config", 5));
  CHECK(is("init_execution_context", 2));
  CHECK(is("set_input", 3));
  CHECK(is("compute", 1));
  CHECK(is("get_output", 5));
  CHECK(is("unload", 1));
  CHECK(is("finalize_execution_context", 1));
  CHECK(guest.functions().size() == 9);
}

TEST_CASE("a guest loads, sets, computes and reads") {
  Loaded guest;
  guest.set_both();
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  CHECK(guest.output<float>(guest.execution, 0, 2) == std::vector<float>{1, 2});
  CHECK(guest.output<std::int64_t>(guest.execution, 1, 1) == std::vector<std::int64_t>{7});
  CHECK(guest.sentences.empty());
}

TEST_CASE("outputs can be read again, into a larger buffer too") {
  Loaded guest;
  guest.set_both();
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  guest.output<float>(guest.execution, 0, 2);
  const std::uint32_t buffer = guest.put(std::vector<float>(100)).address;
  REQUIRE(guest.call("get_output", {guest.execution, 0, buffer, 400, kResult}) == Errno::kSuccess);
  CHECK(guest.read_u32(kResult) == 8);
}

TEST_CASE("a context computes again with inputs that stayed and one that changed") {
  Loaded guest;
  guest.set_both();
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  const std::uint32_t next = guest.tensor<float>({1}, DType::kF32, {9});
  REQUIRE(guest.call("set_input", {guest.execution, 0, next}) == Errno::kSuccess);
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  CHECK(guest.output<float>(guest.execution, 0, 1) == std::vector<float>{9});
  CHECK(guest.output<std::int64_t>(guest.execution, 1, 1) == std::vector<std::int64_t>{7});
}

TEST_CASE("what the guest does to its memory after set_input does not matter") {
  Loaded guest;
  guest.set_both();
  const std::uint32_t data = guest.read_u32(guest.a + 12);
  guest.write_u32(data, 0);
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  CHECK(guest.output<float>(guest.execution, 0, 2) == std::vector<float>{1, 2});
}

TEST_CASE("several graphs and contexts do not know each other") {
  Loaded guest;
  const std::uint32_t other = guest.context_of(guest.load("ECHO 5"));
  const std::uint32_t third = guest.context_of(guest.graph);
  guest.set_both();
  const std::uint32_t nine = guest.tensor<float>({1}, DType::kF32, {9});
  for (const std::uint32_t execution : {other, third}) {
    REQUIRE(guest.call("set_input", {execution, 0, nine}) == Errno::kSuccess);
    REQUIRE(guest.call("set_input", {execution, 1, guest.b}) == Errno::kSuccess);
  }
  for (const std::uint32_t execution : {third, guest.execution, other})
    REQUIRE(guest.call("compute", {execution}) == Errno::kSuccess);
  CHECK(guest.output<float>(guest.execution, 0, 2) == std::vector<float>{1, 2});
  CHECK(guest.output<float>(third, 0, 1) == std::vector<float>{9});
  CHECK(guest.output<std::uint8_t>(other, 2, 5).size() == 5);
}

TEST_CASE("each context has a state of its own, which ends with it") {
  Loaded guest;
  guest.set_both();
  const std::uint32_t other = guest.context_of(guest.graph);
  for (std::uint32_t index : {0U, 1U})
    REQUIRE(guest.call("set_input", {other, index, index == 0 ? guest.a : guest.b}) == Errno::kSuccess);
  EchoGraph::states.clear();
  for (const std::uint32_t execution : {guest.execution, other, guest.execution})
    REQUIRE(guest.call("compute", {execution}) == Errno::kSuccess);
  const auto& states = EchoGraph::states;
  REQUIRE(states.size() == 3);
  CHECK(states[0].lock() == states[2].lock());
  CHECK(states[0].lock() != states[1].lock());
  REQUIRE(guest.call("finalize_execution_context", {other}) == Errno::kSuccess);
  CHECK(states[1].expired());
  CHECK_FALSE(states[0].expired());
}

TEST_CASE("the states of contexts are charged to the owner's budget") {
  Loaded guest;
  EchoGraph::state_size = std::uint64_t{1} << 60;
  CHECK(guest.call("init_execution_context", {guest.graph, kResult}) == Errno::kTooLarge);
  EchoGraph::state_size = 0;
  CHECK(guest.call("init_execution_context", {guest.graph, kResult}) == Errno::kSuccess);
}

TEST_CASE("an optional input may be set or not") {
  Loaded guest;
  guest.set_both();
  REQUIRE(guest.call("set_input", {guest.execution, 2, guest.a}) == Errno::kSuccess);
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  CHECK(guest.output<float>(guest.execution, 2, 2) == std::vector<float>{1, 2});
}

TEST_CASE("load takes every number that means a served encoding and the CPU") {
  NnGuest guest({}, echo());
  const std::uint32_t builders = guest.builders({guest.put(kModel)});
  for (const std::uint32_t encoding : {3U, 5U, 6U}) {
    for (const std::uint32_t target : {0U, 3U}) {
      CAPTURE(encoding);
      CAPTURE(target);
      CHECK(guest.call("load", {builders, 1, encoding, target, kResult}) == Errno::kSuccess);
    }
  }
}

TEST_CASE("load refuses other encodings and targets") {
  NnGuest guest({}, echo());
  const std::uint32_t builders = guest.builders({guest.put(kModel)});
  for (const std::uint32_t encoding : {0U, 1U, 2U, 4U, 7U, 0xffffffffU}) {
    CAPTURE(encoding);
    CHECK(guest.call("load", {builders, 1, encoding, 0, kResult}) == Errno::kInvalidEncoding);
  }
  CHECK(guest.sentences.front() ==
        "wasi_ephemeral_nn.load: encoding 0 is not served; expected 3 (PyTorch) or 5 (autodetect)");
  CHECK(guest.call("load", {builders, 1, 3, 1, kResult}) == Errno::kUnsupportedOperation);
  CHECK(guest.sentences.back() ==
        "wasi_ephemeral_nn.load: target 1 (GPU) was asked for; this host has the CPU only");
  CHECK(guest.call("load", {builders, 1, 3, 2, kResult}) == Errno::kUnsupportedOperation);
  CHECK(guest.call("load", {builders, 1, 3, 4, kResult}) == Errno::kInvalidArgument);
}

TEST_CASE("load passes several builders on, and refuses none and too many") {
  NnGuest guest({}, echo());
  const std::uint32_t builders = guest.builders(std::vector<Pair>(17, guest.put(kModel)));
  REQUIRE(guest.call("load", {builders, 16, 5, 0, kResult}) == Errno::kSuccess);
  CHECK(EchoBackend::loaded_parts == 16);
  CHECK(guest.call("load", {builders, 0, 5, 0, kResult}) == Errno::kInvalidArgument);
  CHECK(guest.call("load", {builders, 17, 5, 0, kResult}) == Errno::kInvalidArgument);
}

TEST_CASE("load tells apart bytes of no format, of another one, and of a model that must not run") {
  NnGuest guest({}, echo());
  const std::uint32_t text = guest.builders({guest.put("hello")});
  const std::uint32_t evil = guest.builders({guest.put("ECHO evil")});
  CHECK(guest.call("load", {text, 1, 5, 0, kResult}) == Errno::kInvalidEncoding);
  CHECK(guest.call("load", {text, 1, 3, 0, kResult}) == Errno::kInvalidEncoding);
  CHECK(guest.sentences.back() == "wasi_ephemeral_nn.load: model 'from bytes' is no echo");
  CHECK(guest.call("load", {evil, 1, 3, 0, kResult}) == Errno::kUnsupportedOperation);
}

TEST_CASE("no pointer of load may leave the memory") {
  NnGuest guest({}, echo());
  const Pair model = guest.put(kModel);
  const std::uint32_t builders = guest.builders({model});
  const std::uint32_t end = guest.end();
  const auto load = [&](std::uint32_t array, std::uint32_t count, std::uint32_t graph) {
    return guest.call("load", {array, count, 5, 0, graph});
  };
  CHECK(load(end - 4, 1, kResult) == Errno::kInvalidArgument);
  CHECK(load(0xfffffffc, 1, kResult) == Errno::kInvalidArgument);
  CHECK(load(builders, 1, end - 3) == Errno::kInvalidArgument);
  CHECK(load(builders, 1, 0xffffffff) == Errno::kInvalidArgument);
  CHECK(load(guest.builders({{end - 2, model.bytes}}), 1, kResult) == Errno::kInvalidArgument);
  CHECK(load(guest.builders({{model.address, 0xffffffff}}), 1, kResult) == Errno::kInvalidArgument);
  CHECK(load(guest.builders({model, {0xffffffff, 2}}), 2, kResult) == Errno::kInvalidArgument);
  CHECK(guest.context.handles.open() == 0);
  CHECK(guest.context.budget.used() == 0);
}

TEST_CASE("a model is loaded by the name that the owner gave it") {
  const TemporaryDirectory dir;
  dir.write("model", kModel);
  HostConfig config;
  config.models = {{"m\xc3\xb6", dir / "model"}, {"gone", dir / "gone"}};
  NnGuest guest(config, echo());
  const Pair name = guest.put("m\xc3\xb6"), gone = guest.put("gone"), other = guest.put("other");
  const Pair broken = guest.put("\xff");
  CHECK(guest.call("load_by_name", {name.address, name.bytes, kResult}) == Errno::kSuccess);
  guest.context_of(guest.read_u32(kResult));
  CHECK(guest.call("load_by_name", {other.address, other.bytes, kResult}) == Errno::kNotFound);
  CHECK(guest.sentences.back() ==
        "wasi_ephemeral_nn.load_by_name: the owner granted no model under the name 'other'");
  CHECK(guest.call("load_by_name", {gone.address, gone.bytes, kResult}) == Errno::kNotFound);
  CHECK(guest.call("load_by_name", {broken.address, broken.bytes, kResult}) == Errno::kInvalidArgument);
  CHECK(guest.call("load_by_name", {guest.end() - 1, 2, kResult}) == Errno::kInvalidArgument);
  CHECK(guest.call("load_by_name", {name.address, 5000, kResult}) == Errno::kInvalidArgument);
  CHECK(guest.call("load_by_name", {name.address, name.bytes, guest.end()}) == Errno::kInvalidArgument);
}

TEST_CASE("a configuration may be there when it asks for nothing") {
  const TemporaryDirectory dir;
  dir.write("model", kModel);
  HostConfig config;
  config.models = {{"m", dir / "model"}};
  NnGuest guest(config, echo());
  const Pair name = guest.put("m"), empty = guest.put(" {\n} "), asks = guest.put(R"({"threads": 4})");
  const auto load = [&](Pair text) {
    return guest.call("load_by_name_with_config",
                      {name.address, name.bytes, text.address, text.bytes, kResult});
  };
  CHECK(load({0, 0}) == Errno::kSuccess);
  CHECK(load(empty) == Errno::kSuccess);
  CHECK(load(asks) == Errno::kUnsupportedOperation);
  CHECK(load({guest.end() - 1, 2}) == Errno::kInvalidArgument);
}

TEST_CASE("a context is made of a graph only") {
  Loaded guest;
  for (const std::uint32_t handle : {0U, guest.execution, 1000U, 0xffffffffU})
    CHECK(guest.call("init_execution_context", {handle, kResult}) == Errno::kInvalidArgument);
  CHECK(guest.call("init_execution_context", {guest.graph, guest.end() - 2}) == Errno::kInvalidArgument);
  CHECK(guest.read_u32(kResult) == 0);
}

TEST_CASE("set_input refuses what is not a tensor for an input of a context") {
  Loaded guest;
  const auto set = [&](std::uint32_t execution, std::uint32_t index, std::uint32_t record) {
    return guest.call("set_input", {execution, index, record});
  };
  CHECK(set(guest.graph, 0, guest.a) == Errno::kInvalidArgument);
  CHECK(set(guest.execution, 3, guest.a) == Errno::kInvalidArgument);
  CHECK(guest.sentences.back() == "wasi_ephemeral_nn.set_input: input 3 does not exist; the graph has 3");
  CHECK(set(guest.execution, 0xffffffff, guest.a) == Errno::kInvalidArgument);
  CHECK(set(guest.execution, 0, guest.end() - 19) == Errno::kInvalidArgument);
  CHECK(set(guest.execution, 1, guest.a) == Errno::kInvalidArgument);
  CHECK(guest.sentences.back() == "wasi_ephemeral_nn.set_input: input 1 ('b'): it takes i64");
  CHECK(set(guest.execution, 0, guest.tensor<float>({3}, DType::kF32, {1, 2})) == Errno::kInvalidArgument);
  CHECK(set(guest.execution, 0, guest.tensor<float>({1}, DType{7}, {1})) == Errno::kInvalidArgument);
  CHECK(set(guest.execution, 0, guest.tensor<float>(std::vector<std::uint32_t>(17, 1), DType::kF32, {1})) ==
        Errno::kInvalidArgument);
  // 2^32 elements of 4 bytes are 2^34: 0 when counted in 32 bits.
  CHECK(set(guest.execution, 0, guest.tensor<float>({65536, 65536}, DType::kF32, {})) ==
        Errno::kInvalidArgument);
  const std::uint32_t far_dims = guest.put(std::vector<std::uint32_t>{0xfffffffc, 2, 1, 1024, 8}).address;
  CHECK(set(guest.execution, 0, far_dims) == Errno::kInvalidArgument);
  const std::uint32_t one = guest.put(std::vector<std::uint32_t>{1}).address;
  const std::uint32_t far_data = guest.put(std::vector<std::uint32_t>{one, 1, 1, guest.end() - 2, 4}).address;
  CHECK(set(guest.execution, 0, far_data) == Errno::kInvalidArgument);
}

TEST_CASE("only the byte of a tensor's type is read") {
  Loaded guest;
  guest.write_u32(guest.a + 8, 0xabcdef00U | static_cast<std::uint32_t>(DType::kF32));
  CHECK(guest.call("set_input", {guest.execution, 0, guest.a}) == Errno::kSuccess);
}

TEST_CASE("compute before all inputs are set is refused") {
  Loaded guest;
  REQUIRE(guest.call("set_input", {guest.execution, 0, guest.a}) == Errno::kSuccess);
  CHECK(guest.call("compute", {guest.execution}) == Errno::kInvalidArgument);
  CHECK(guest.sentences.back() == "wasi_ephemeral_nn.compute: input 1 ('b') is not set");
  CHECK(guest.call("compute", {guest.graph}) == Errno::kInvalidArgument);
}

TEST_CASE("outputs exist after a compute that succeeded only") {
  Loaded guest;
  const std::uint32_t buffer = guest.put(std::vector<float>(2)).address;
  const auto get = [&] { return guest.call("get_output", {guest.execution, 0, buffer, 8, kResult}); };
  CHECK(get() == Errno::kInvalidArgument);
  guest.set_both();
  CHECK(get() == Errno::kInvalidArgument);
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  CHECK(get() == Errno::kSuccess);
  const std::uint32_t fails = guest.tensor<double>({1}, DType::kF64, {1});
  REQUIRE(guest.call("set_input", {guest.execution, 0, fails}) == Errno::kSuccess);
  CHECK(guest.call("compute", {guest.execution}) == Errno::kRuntimeError);
  CHECK(get() == Errno::kInvalidArgument);
}

TEST_CASE("get_output refuses other contexts and outputs, and writes nothing then") {
  Loaded guest;
  guest.set_both();
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  const std::uint32_t buffer = guest.put(std::vector<float>(2)).address;
  const auto get = [&](std::uint32_t execution, std::uint32_t index, std::uint32_t address,
                       std::uint32_t bytes, std::uint32_t written) {
    return guest.call("get_output", {execution, index, address, bytes, written});
  };
  CHECK(get(guest.graph, 0, buffer, 8, kResult) == Errno::kInvalidArgument);
  CHECK(get(guest.execution, 3, buffer, 8, kResult) == Errno::kInvalidArgument);
  CHECK(get(guest.execution, 0, guest.end() - 4, 8, kResult) == Errno::kInvalidArgument);
  CHECK(get(guest.execution, 0, buffer, 0xffffffff, kResult) == Errno::kInvalidArgument);
  CHECK(get(guest.execution, 0, buffer, 8, guest.end() - 3) == Errno::kInvalidArgument);
  CHECK(get(guest.execution, 0, buffer, 7, kResult) == Errno::kTooLarge);
  CHECK(guest.sentences.back() ==
        "wasi_ephemeral_nn.get_output: output 0 has 8 bytes, but the buffer has room for 7");
  CHECK(guest.read<float>(buffer, 2) == std::vector<float>{0, 0});
  CHECK(guest.read_u32(kResult) == 0);
}

TEST_CASE("a handle is gone when it was closed, and its number is not used again") {
  Loaded guest;
  guest.set_both();
  CHECK(guest.call("unload", {guest.execution}) == Errno::kInvalidArgument);
  CHECK(guest.call("finalize_execution_context", {guest.graph}) == Errno::kInvalidArgument);
  REQUIRE(guest.call("unload", {guest.graph}) == Errno::kSuccess);
  CHECK(guest.call("unload", {guest.graph}) == Errno::kInvalidArgument);
  CHECK(guest.call("init_execution_context", {guest.graph, kResult}) == Errno::kInvalidArgument);
  CHECK(guest.call("compute", {guest.execution}) == Errno::kSuccess);  // it keeps its graph
  REQUIRE(guest.call("finalize_execution_context", {guest.execution}) == Errno::kSuccess);
  CHECK(guest.call("compute", {guest.execution}) == Errno::kInvalidArgument);
  CHECK(guest.context.budget.used() == 0);
  const std::uint32_t next = guest.load(kModel);
  CHECK(next > guest.graph);
  CHECK(next > guest.execution);
}

TEST_CASE("graphs, inputs and outputs are charged to the owner's budget") {
  HostConfig config;
  config.max_tensor_bytes = 2100;
  Loaded guest(config);
  guest.set_both();
  REQUIRE(guest.call("compute", {guest.execution}) == Errno::kSuccess);
  CHECK(guest.context.budget.used() == 1000 + 16 + 16);
  const std::uint32_t large = guest.tensor<std::uint8_t>({1100}, DType::kU8, std::vector<std::uint8_t>(1100));
  CHECK(guest.call("set_input", {guest.execution, 0, large}) == Errno::kTooLarge);
  guest.load("ECHO 900");
  const std::uint32_t builders = guest.builders({guest.put(kModel)});
  CHECK(guest.call("load", {builders, 1, 5, 0, kResult}) == Errno::kTooLarge);
}

TEST_CASE("outputs beyond the budget are refused") {
  HostConfig config;
  config.max_tensor_bytes = 1500;
  NnGuest guest(config, echo());
  const std::uint32_t execution = guest.context_of(guest.load("ECHO 600"));
  const std::uint32_t one = guest.tensor<std::int64_t>({1}, DType::kI64, {1});
  REQUIRE(guest.call("set_input", {execution, 0, one}) == Errno::kSuccess);
  REQUIRE(guest.call("set_input", {execution, 1, one}) == Errno::kSuccess);
  CHECK(guest.call("compute", {execution}) == Errno::kTooLarge);
}

TEST_CASE("graphs and contexts together are limited in number") {
  HostConfig config;
  config.max_handles = 3;
  Loaded guest(config);
  guest.context_of(guest.graph);
  const std::uint32_t builders = guest.builders({guest.put(kModel)});
  CHECK(guest.call("load", {builders, 1, 5, 0, kResult}) == Errno::kTooLarge);
  CHECK(guest.call("init_execution_context", {guest.graph, kResult}) == Errno::kTooLarge);
  REQUIRE(guest.call("finalize_execution_context", {guest.execution}) == Errno::kSuccess);
  CHECK(guest.call("init_execution_context", {guest.graph, kResult}) == Errno::kSuccess);
}

TEST_CASE("a call from within a call is busy and changes nothing") {
  Loaded guest;
  guest.set_both();
  Errno inner = Errno::kSuccess;
  EchoGraph::while_computing = [&] { inner = guest.call("finalize_execution_context", {guest.execution}); };
  const Errno outer = guest.call("compute", {guest.execution});
  EchoGraph::while_computing = nullptr;
  CHECK(outer == Errno::kSuccess);
  CHECK(inner == Errno::kBusy);
  CHECK(guest.sentences.back() ==
        "wasi_ephemeral_nn.finalize_execution_context: another call of this guest is still running; one at a "
        "time is possible");
  CHECK(guest.output<float>(guest.execution, 0, 2) == std::vector<float>{1, 2});
}

TEST_CASE("a guest without memory is told so by every function") {
  NnGuest guest({}, echo(), 0);
  for (const auto& [name, function] : guest.functions()) {
    CAPTURE(name);
    const std::vector<Value> arguments(function.parameters.size());
    Value result{.i32 = 999};
    REQUIRE(function.call(GuestMemory({}), arguments, std::span(&result, 1)));
    CHECK(static_cast<Errno>(result.i32) == Errno::kMissingMemory);
  }
  CHECK(guest.sentences.back() == "wasi_ephemeral_nn.unload: the guest has no memory");
}
