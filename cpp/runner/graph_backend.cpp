#include "wasmgrad/runner/graph_backend.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <future>
#include <iterator>
#include <string_view>
#include <type_traits>
#include <utility>

#include "wasmgrad/graph/executor.hpp"

namespace wasmgrad::runner {

namespace {

constexpr std::array kMagic{std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'}};
constexpr std::uint64_t kPageBytes = 65536;

constexpr std::pair<std::string_view, DType> kTypes[] = {
    {"float16", DType::kF16}, {"float32", DType::kF32}, {"float64", DType::kF64},   {"uint8", DType::kU8},
    {"int32", DType::kI32},   {"int64", DType::kI64},   {"bfloat16", DType::kBF16}, {"bool", DType::kU8}};

/// A tensor of the module, in the core's terms.
struct Port {
  DType dtype;
  std::vector<std::int64_t> shape;
};

Expected<std::vector<Port>> ports_of(const std::vector<graph::TensorInfo>& tensors) {
  std::vector<Port> ports;
  for (const graph::TensorInfo& tensor : tensors) {
    const auto type = std::ranges::find(kTypes, tensor.dtype, [](const auto& entry) { return entry.first; });
    if (type == std::end(kTypes)) {
      return Error{Errc::kUnsupportedOperation, "the module's tensor '" + tensor.name + "' is of " +
                                                    tensor.dtype + ", a type that guests cannot exchange"};
    }
    ports.push_back({type->second, {tensor.shape.begin(), tensor.shape.end()}});
  }
  return ports;
}

/// Calls `work`, which returns an Expected, on a thread of its own. The engine keeps what it executes per
/// thread: a module that ran on the thread of a guest that waits in a host call would leave the guest with
/// its own memory.
template <class Work>
auto on_own_thread(Work work) -> std::invoke_result_t<Work> {
  try {
    return std::async(std::launch::async, std::move(work)).get();
  } catch (const std::exception& error) {
    return Error{Errc::kRuntimeError, std::string("graph module: ") + error.what()};
  }
}

class ModuleGraph final : public abi::nn::Graph {
 public:
  ModuleGraph(graph::Executor executor, std::vector<Port> inputs, std::vector<Port> outputs)
      : executor_(std::move(executor)), input_ports_(std::move(inputs)), output_ports_(std::move(outputs)) {
    for (const auto& tensor : executor_.metadata().inputs) inputs_.push_back({tensor.name, true});
    for (const auto& state : executor_.metadata().states) state_bytes_ += state.bytes;
  }

  [[nodiscard]] const std::vector<abi::nn::GraphInput>& inputs() const override { return inputs_; }
  [[nodiscard]] std::uint64_t bytes() const override { return executor_.memory_bytes(); }

  [[nodiscard]] std::uint64_t state_bytes() const override { return state_bytes_; }

  Status go_on_from(const std::shared_ptr<abi::nn::GraphState>& state) override {
    const auto current = current_.lock();
    if (state_bytes_ == 0 || current == state) return {};
    if (current) WASMGRAD_CHECK(save(*current));
    WASMGRAD_CHECK(state->empty() ? executor_.reset() : restore(*state));
    current_ = state;
    return {};
  }

  [[nodiscard]] Status check_input(std::size_t index, const TensorView& tensor) const override {
    const Port& port = input_ports_[index];
    if (tensor.dtype() == port.dtype && tensor.shape() == port.shape) return {};
    const auto describe = [](DType dtype, const auto& shape) {
      return std::string(dtype_name(dtype)) + " " + format_shape(shape);
    };
    return Error{Errc::kInvalidArgument, "a tensor of " + describe(tensor.dtype(), tensor.shape()) +
                                             " was given; the graph takes " +
                                             describe(port.dtype, port.shape)};
  }

  Expected<std::vector<training::Output>> compute(std::span<const TensorView> inputs,
                                                  std::uint64_t max_output_bytes) override {
    const auto& tensors = executor_.metadata().outputs;
    std::uint64_t bytes = 0;
    for (const auto& tensor : tensors) bytes += tensor.bytes;
    if (bytes > max_output_bytes) {
      return Error{Errc::kTooLarge, "the outputs have " + std::to_string(bytes) + " bytes; " +
                                        std::to_string(max_output_bytes) + " are left for them"};
    }
    return on_own_thread([&] { return run(inputs); });
  }

 private:
  // The module's states, one after another.
  Status save(abi::nn::GraphState& to) const {
    to.resize(state_bytes_);
    std::size_t at = 0;
    for (std::size_t i = 0; i < executor_.metadata().states.size(); ++i) {
      const std::size_t size = executor_.metadata().states[i].bytes;
      WASMGRAD_CHECK(executor_.read_state(i, std::span(to).subspan(at, size)));
      at += size;
    }
    return {};
  }

  Status restore(const abi::nn::GraphState& from) {
    std::size_t at = 0;
    for (std::size_t i = 0; i < executor_.metadata().states.size(); ++i) {
      const std::size_t size = executor_.metadata().states[i].bytes;
      WASMGRAD_CHECK(executor_.write_state(i, std::span(from).subspan(at, size)));
      at += size;
    }
    return {};
  }

  Expected<std::vector<training::Output>> run(std::span<const TensorView> inputs) {
    for (std::size_t i = 0; i < inputs.size(); ++i)
      WASMGRAD_CHECK(executor_.write_input(i, inputs[i].data()));
    WASMGRAD_CHECK(executor_.run());
    const auto& tensors = executor_.metadata().outputs;
    std::vector<training::Output> outputs;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      outputs.push_back({tensors[i].name, output_ports_[i].dtype, output_ports_[i].shape,
                         std::vector<std::byte>(tensors[i].bytes)});
      WASMGRAD_CHECK(executor_.read_output(i, outputs.back().bytes));
    }
    return outputs;
  }

  graph::Executor executor_;
  std::vector<Port> input_ports_, output_ports_;
  std::vector<abi::nn::GraphInput> inputs_;
  std::uint64_t state_bytes_ = 0;
  std::weak_ptr<abi::nn::GraphState> current_;  // of the context whose state is in the module
};

}  // namespace

bool GraphBackend::recognizes(std::span<const std::byte> part) const {
  return part.size() >= kMagic.size() && std::ranges::equal(part.first(kMagic.size()), kMagic);
}

Expected<std::shared_ptr<abi::nn::Graph>> GraphBackend::load(
    std::span<const std::span<const std::byte>> parts, const std::string& name, std::uint64_t max_bytes) {
  if (parts.size() > 2) {
    return Error{Errc::kInvalidArgument, std::to_string(parts.size()) +
                                             " builders were given; a graph module has its bytes and at most "
                                             "one file of weights"};
  }
  const auto make = [&]() -> Expected<std::shared_ptr<abi::nn::Graph>> {
    graph::ExecutorConfig config;
    config.module = parts[0];
    if (parts.size() == 2) config.weights = parts[1];
    config.max_memory_pages = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(max_bytes / kPageBytes, graph::ExecutorConfig{}.max_memory_pages));
    config.aot_cache = aot_cache_;
    WASMGRAD_ASSIGN(graph::Executor executor, on_own_thread([&] { return graph::Executor::create(config); }));
    WASMGRAD_ASSIGN(auto inputs, ports_of(executor.metadata().inputs));
    WASMGRAD_ASSIGN(auto outputs, ports_of(executor.metadata().outputs));
    return std::shared_ptr<abi::nn::Graph>(
        std::make_shared<ModuleGraph>(std::move(executor), std::move(inputs), std::move(outputs)));
  };
  auto graph = make();
  if (!graph) return graph.error().within("model '" + name + "'");
  return graph;
}

}  // namespace wasmgrad::runner
