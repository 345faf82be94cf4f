#include "wasmgrad/runner/graph_backend.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <future>
#include <iterator>
#include <string_view>
#include <type_traits>
#include <utility>

#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/graph/executor.hpp"

namespace wasmgrad::runner {

namespace {

constexpr std::array kMagic{std::byte{0}, std::byte{'a'}, std::byte{'s'}, std::byte{'m'}};
constexpr std::uint64_t kPageBytes = 65536;

constexpr std::pair<std::string_view, DType> kTypes[] = {
    {"float16", DType::kF16}, {"float32", DType::kF32}, {"float64", DType::kF64},   {"uint8", DType::kU8},
    {"int32", DType::kI32},   {"int64", DType::kI64},   {"bfloat16", DType::kBF16}, {"bool", DType::kU8}};

Expected<DType> type_of(const graph::TensorInfo& tensor) {
  const auto type = std::ranges::find(kTypes, tensor.dtype, [](const auto& entry) { return entry.first; });
  if (type != std::end(kTypes)) return type->second;
  return Error{Errc::kUnsupportedOperation, "the module's tensor '" + tensor.name + "' is of " +
                                                tensor.dtype + ", a type that guests cannot exchange"};
}

// Guests see the inputs of the first plan: all of its entry must have them, of types that guests know.
Status check_plans(const graph::Metadata& metadata) {
  const graph::Plan& first = metadata.plans.front();
  for (const graph::Plan& plan : metadata.plans) {
    if (plan.entry != first.entry) continue;
    const bool same = std::ranges::equal(plan.inputs, first.inputs, [](const auto& one, const auto& other) {
      return one.name == other.name && one.dtype == other.dtype;
    });
    if (!same) {
      return Error{Errc::kInvalidEncoding, "plans of the entry '" + printable(plan.entry) +
                                               "' differ in the names or types of their inputs"};
    }
    for (const graph::TensorInfo& tensor : plan.inputs) WASMGRAD_CHECK(type_of(tensor));
    for (const graph::TensorInfo& tensor : plan.outputs) WASMGRAD_CHECK(type_of(tensor));
  }
  return {};
}

std::vector<std::uint64_t> extents_of(const TensorView& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
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
  explicit ModuleGraph(graph::Executor executor)
      : executor_(std::move(executor)), entry_(executor_.metadata().plans.front().entry) {
    for (const auto& tensor : executor_.plan().inputs) inputs_.push_back({tensor.name, true});
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

  // Whether the shapes of several inputs go together is known when all are there.
  [[nodiscard]] Status check_input(std::size_t index, const TensorView& tensor) const override {
    std::string takes;
    for (const graph::Plan& plan : executor_.metadata().plans) {
      if (plan.entry != entry_) continue;
      const graph::TensorInfo& input = plan.inputs[index];
      if (*type_of(input) == tensor.dtype() && takes_shape(plan, input, extents_of(tensor))) return {};
      takes += (takes.empty() ? "" : " or ") + describe(plan, input);
    }
    return Error{Errc::kInvalidArgument, "a tensor of " + std::string(dtype_name(tensor.dtype())) + " " +
                                             format_shape(tensor.shape()) + " was given; the graph takes " +
                                             takes};
  }

  Expected<std::vector<training::Output>> compute(std::span<const TensorView> inputs,
                                                  std::uint64_t max_output_bytes) override {
    return on_own_thread([&] { return run(inputs, max_output_bytes); });
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

  static bool takes_shape(const graph::Plan& plan, const graph::TensorInfo& input,
                          const std::vector<std::uint64_t>& shape) {
    graph::Plan alone;
    alone.batch = plan.batch;
    alone.inputs = {input};
    return alone.batch_of(std::span(&shape, 1)).has_value();
  }

  static std::string describe(const graph::Plan& plan, const graph::TensorInfo& input) {
    const std::string type(dtype_name(*type_of(input)));
    if (!plan.batch || input.batched.empty()) return type + " " + format_shape(signed_of(input.shape));
    const graph::TensorInfo least = plan.sized(input, plan.batch->least);
    return type + " " + format_shape(signed_of(least.shape)) + " to " + format_shape(signed_of(input.shape));
  }

  static std::vector<std::int64_t> signed_of(const std::vector<std::uint64_t>& shape) {
    return {shape.begin(), shape.end()};
  }

  Expected<std::vector<training::Output>> run(std::span<const TensorView> inputs,
                                              std::uint64_t max_output_bytes) {
    std::vector<std::vector<std::uint64_t>> shapes;
    std::ranges::transform(inputs, std::back_inserter(shapes), extents_of);
    WASMGRAD_CHECK(executor_.select_for(entry_, shapes));
    const auto& tensors = executor_.plan().outputs;
    std::uint64_t bytes = 0;
    for (const auto& tensor : tensors) bytes += tensor.bytes;
    if (bytes > max_output_bytes) {
      return Error{Errc::kTooLarge, "the outputs have " + std::to_string(bytes) + " bytes; " +
                                        std::to_string(max_output_bytes) + " are left for them"};
    }
    for (std::size_t i = 0; i < inputs.size(); ++i)
      WASMGRAD_CHECK(executor_.write_input(i, inputs[i].data()));
    WASMGRAD_CHECK(executor_.run());
    std::vector<training::Output> outputs;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      WASMGRAD_ASSIGN(const DType type, type_of(tensors[i]));
      outputs.push_back(
          {tensors[i].name, type, signed_of(tensors[i].shape), std::vector<std::byte>(tensors[i].bytes)});
      WASMGRAD_CHECK(executor_.read_output(i, outputs.back().bytes));
    }
    return outputs;
  }

  graph::Executor executor_;
  std::string entry_;  // of the first plan: guests know of no other
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
    WASMGRAD_CHECK(check_plans(executor.metadata()));
    return std::shared_ptr<abi::nn::Graph>(std::make_shared<ModuleGraph>(std::move(executor)));
  };
  auto graph = make();
  if (!graph) return graph.error().within("model '" + name + "'");
  return graph;
}

}  // namespace wasmgrad::runner
