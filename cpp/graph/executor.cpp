#include "wasmgrad/graph/executor.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "wasmgrad/base/sha256.hpp"
#include "wasmgrad/base/utf8.hpp"
#include "wasmgrad/graph/graph_file.hpp"

namespace wasmgrad::graph {

namespace {

using sandbox::Sandbox;

std::string describe(const char* kind, std::size_t index, const TensorInfo& tensor) {
  return std::string(kind) + " " + std::to_string(index) + " (" + tensor.name + ")";
}

// Calls an export that returns one i32.
Expected<std::uint32_t> call_i32(Sandbox& sandbox, const std::string& function,
                                 std::initializer_list<std::uint64_t> numbers = {}) {
  std::vector<Value> arguments;
  for (const std::uint64_t number : numbers) arguments.push_back({.i32 = static_cast<std::uint32_t>(number)});
  WASMGRAD_ASSIGN(const std::vector<Value> results, sandbox.call(function, arguments));
  return results.front().i32;
}

std::string describe(const Plan& plan) {
  std::string text;
  for (const TensorInfo& input : plan.inputs) {
    text += (text.empty() ? "" : ", ") + input.name + ": " + input.dtype + "[";
    for (std::size_t axis = 0; axis < input.shape.size(); ++axis) {
      const bool varies = plan.batch && std::ranges::find(input.batched, axis) != input.batched.end();
      text += axis > 0 ? ", " : "";
      if (varies) text += std::to_string(input.shape[axis] / plan.batch->most * plan.batch->least) + "..";
      text += std::to_string(input.shape[axis]);
    }
    text += ']';
  }
  return text;
}

// The address of every tensor of one kind, each checked to hold the whole tensor.
template <class Tensors>
Expected<std::vector<std::uint32_t>> locate(Sandbox& sandbox, const char* kind, const Tensors& tensors) {
  const std::string function = "graph_" + std::string(kind);
  std::vector<std::uint32_t> addresses;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::string what = describe(kind, i, tensors[i]);
    WASMGRAD_ASSIGN(const std::uint32_t address, call_i32(sandbox, function, {i}));
    if (address == 0)
      return Error{Errc::kInvalidEncoding, "the module has no " + what + ", which its metadata names"};
    if (const auto range = sandbox.memory().bytes(address, tensors[i].bytes, what); !range) {
      return Error{Errc::kInvalidEncoding, range.error().message};
    }
    addresses.push_back(address);
  }
  WASMGRAD_ASSIGN(const std::uint32_t next, call_i32(sandbox, function, {tensors.size()}));
  if (next == 0) return addresses;
  return Error{Errc::kInvalidEncoding, "the module has more " + std::string(kind) + "s than the " +
                                           std::to_string(tensors.size()) + " of its metadata"};
}

Error refused_weights(const std::string& why) { return {Errc::kInvalidArgument, "weights: " + why}; }

// All that can be told without reading them.
Status check_weights(const Weights& expected, const std::optional<ByteSource>& weights) {
  if (!expected.in_file) {
    return weights ? refused_weights("given, but the module holds its own") : Status();
  }
  if (!weights) return refused_weights("missing; the module needs its weights file");
  if (weights->size() == expected.bytes) return {};
  return refused_weights(std::to_string(weights->size()) + " bytes; expected " +
                         std::to_string(expected.bytes));
}

Status check_index(std::size_t index, std::size_t count, const char* kind) {
  if (index < count) return {};
  return Error{Errc::kInvalidArgument, std::string(kind) + " " + std::to_string(index) +
                                           " does not exist; the module has " + std::to_string(count)};
}

Status check_length(std::size_t length, const TensorInfo& tensor, const char* kind, std::size_t index) {
  if (length == tensor.bytes) return {};
  return Error{Errc::kInvalidArgument, describe(kind, index, tensor) + ": " + std::to_string(length) +
                                           " bytes; expected " + std::to_string(tensor.bytes)};
}

}  // namespace

Expected<Executor> Executor::create(const ExecutorConfig& config) {
  WASMGRAD_ASSIGN(GraphFile file, read_graph_file(config.module));
  if (file.metadata.options.threads > 1) {
    return Error{Errc::kUnsupportedOperation,
                 "the module is for " + std::to_string(file.metadata.options.threads) +
                     " threads that share a memory, which this engine does not run; compile it without "
                     "--threads, or run it in wasmtime or Node"};
  }
  WASMGRAD_CHECK(check_weights(file.metadata.weights, config.weights));
  sandbox::SandboxConfig guest;
  guest.module = std::move(file.code);
  guest.name = "graph module";
  guest.max_memory_pages = config.max_memory_pages;
  guest.compute_only = true;
  guest.aot_cache = config.aot_cache;
  WASMGRAD_ASSIGN(Sandbox sandbox, Sandbox::create(std::move(guest)));

  Executor executor(std::move(sandbox), std::move(file.metadata));
  WASMGRAD_CHECK(executor.check_functions());
  for (const DataSegment& segment : file.data) {
    WASMGRAD_ASSIGN(const auto place, executor.place(segment.address, segment.size, "data segment"));
    WASMGRAD_CHECK(config.module.read(segment.offset, place));
  }
  WASMGRAD_CHECK(executor.sandbox_.call("_initialize", {}));
  WASMGRAD_CHECK(executor.locate_tensors());
  if (config.weights) WASMGRAD_CHECK(executor.fill_weights(*config.weights));
  return executor;
}

Status Executor::check_functions() const {
  constexpr ValueType kI32 = ValueType::kI32;
  WASMGRAD_CHECK(sandbox_.check_export("_initialize", {}, {}));
  WASMGRAD_CHECK(sandbox_.check_export("graph_input", {kI32}, {kI32}));
  WASMGRAD_CHECK(sandbox_.check_export("graph_output", {kI32}, {kI32}));
  WASMGRAD_CHECK(sandbox_.check_export("graph_weights", {}, {kI32}));
  WASMGRAD_CHECK(sandbox_.check_export("graph_run", {}, {kI32}));
  if (!metadata_.states.empty()) WASMGRAD_CHECK(sandbox_.check_export("graph_state", {kI32}, {kI32}));
  if (metadata_.selects()) WASMGRAD_CHECK(sandbox_.check_export("graph_select", {kI32, kI32}, {kI32}));
  return sandbox_.check_export("graph_call", {kI32}, {kI32});
}

// Of every plan, so that a module that lies is refused before it runs; the first one is chosen then.
Status Executor::locate_tensors() {
  if (!metadata_.states.empty()) {
    WASMGRAD_ASSIGN(states_, locate(sandbox_, "state", metadata_.states));
  }
  if (!metadata_.selects()) return locate_ends();
  for (std::size_t number = metadata_.plans.size(); number-- > 0;) {
    number_ = metadata_.plans.size();
    WASMGRAD_CHECK(select(number, 0));
  }
  return {};
}

Status Executor::locate_ends() {
  WASMGRAD_ASSIGN(inputs_, locate(sandbox_, "input", plan_.inputs));
  WASMGRAD_ASSIGN(outputs_, locate(sandbox_, "output", plan_.outputs));
  return {};
}

Status Executor::select(std::size_t number, std::uint64_t batch) {
  if (number == number_ && batch == batch_) return {};
  WASMGRAD_CHECK(check_index(number, metadata_.plans.size(), "plan"));
  const Plan& plan = metadata_.plans[number];
  const bool possible =
      plan.batch ? batch == 0 || (batch >= plan.batch->least && batch <= plan.batch->most) : batch == 0;
  if (!possible) {
    return Error{Errc::kInvalidArgument, "a batch of " + std::to_string(batch) + " is not one that plan " +
                                             std::to_string(number) + " takes: " + describe(plan)};
  }
  WASMGRAD_ASSIGN(const std::uint32_t failure, call_i32(sandbox_, "graph_select", {number, batch}));
  if (failure != 0) {
    return Error{Errc::kRuntimeError, "graph_select(" + std::to_string(number) + ", " +
                                          std::to_string(batch) + ") failed with code " +
                                          std::to_string(static_cast<std::int32_t>(failure))};
  }
  plan_ = plan;
  for (TensorInfo& tensor : plan_.inputs) tensor = plan.sized(tensor, batch);
  for (TensorInfo& tensor : plan_.outputs) tensor = plan.sized(tensor, batch);
  number_ = number;
  batch_ = batch;
  return locate_ends();
}

Status Executor::select_for(std::string_view entry, std::span<const std::vector<std::uint64_t>> shapes) {
  std::string expected;
  for (std::size_t number = 0; number < metadata_.plans.size(); ++number) {
    const Plan& plan = metadata_.plans[number];
    if (plan.entry != entry) continue;
    if (const auto batch = plan.batch_of(shapes)) return select(number, *batch);
    expected += (expected.empty() ? "" : "; or ") + describe(plan);
  }
  if (expected.empty()) {
    return Error{Errc::kInvalidArgument, "the module has no entry '" + printable(std::string(entry)) + "'"};
  }
  return Error{Errc::kInvalidArgument, "no plan takes inputs of these shapes; expected " + expected};
}

// Where the module wants `size` bytes, which it may have lied about.
Expected<std::span<std::byte>> Executor::place(std::uint32_t address, std::uint64_t size,
                                               std::string_view what) {
  auto range = sandbox_.memory().writable_bytes(address, size, what);
  if (!range) return Error{Errc::kInvalidEncoding, range.error().message};
  return range;
}

Status Executor::fill_weights(const ByteSource& weights) {
  WASMGRAD_ASSIGN(const std::uint32_t address, call_i32(sandbox_, "graph_weights"));
  WASMGRAD_ASSIGN(const auto range, place(address, weights.size(), "weights"));
  if (const Status status = weights.read(0, range); !status) return status.error().within("weights");
  const std::string& expected = metadata_.weights.sha256;
  const std::string found = to_hex(Sha256().update(range).finish());
  if (found == expected) return {};
  return Error{Errc::kInvalidEncoding, "these are not the weights of this module: their SHA-256 is " + found +
                                           ", expected " + expected};
}

Status Executor::write_input(std::size_t index, std::span<const std::byte> data) {
  WASMGRAD_CHECK(check_index(index, inputs_.size(), "input"));
  WASMGRAD_CHECK(check_length(data.size(), plan_.inputs[index], "input", index));
  return write(inputs_[index], data, "input");
}

Status Executor::run() {
  WASMGRAD_ASSIGN(const std::uint32_t failure, call_i32(sandbox_, "graph_run"));
  if (failure == 0) return {};
  return Error{Errc::kRuntimeError,
               "graph_run: the module reports error " + std::to_string(static_cast<std::int32_t>(failure))};
}

Status Executor::call(std::size_t index) {
  WASMGRAD_CHECK(check_index(index, plan_.calls.size(), "call"));
  WASMGRAD_ASSIGN(const std::uint32_t failure, call_i32(sandbox_, "graph_call", {index}));
  if (failure == 0) return {};
  const PlanEntry& entry = plan_.calls[index];
  return Error{Errc::kRuntimeError, "call " + std::to_string(index) + " (" + entry.name + ", " +
                                        entry.kernel + "): the module reports error " +
                                        std::to_string(static_cast<std::int32_t>(failure))};
}

Status Executor::read_output(std::size_t index, std::span<std::byte> data) const {
  WASMGRAD_CHECK(check_index(index, outputs_.size(), "output"));
  WASMGRAD_CHECK(check_length(data.size(), plan_.outputs[index], "output", index));
  return read(outputs_[index], data, "output");
}

Status Executor::read_state(std::size_t index, std::span<std::byte> data) const {
  WASMGRAD_CHECK(check_index(index, states_.size(), "state"));
  WASMGRAD_CHECK(check_length(data.size(), metadata_.states[index], "state", index));
  return read(states_[index], data, "state");
}

Status Executor::write_state(std::size_t index, std::span<const std::byte> data) {
  WASMGRAD_CHECK(check_index(index, states_.size(), "state"));
  WASMGRAD_CHECK(check_length(data.size(), metadata_.states[index], "state", index));
  return write(states_[index], data, "state");
}

Status Executor::reset() {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    WASMGRAD_ASSIGN(const auto range, place(states_[i], metadata_.states[i].bytes, "state"));
    std::ranges::fill(range, std::byte{0});
  }
  return {};
}

Status Executor::read(std::uint32_t address, std::span<std::byte> data, const char* what) const {
  WASMGRAD_ASSIGN(const auto range, sandbox_.memory().bytes(address, data.size(), what));
  std::ranges::copy(range, data.begin());
  return {};
}

Status Executor::write(std::uint32_t address, std::span<const std::byte> data, const char* what) {
  WASMGRAD_ASSIGN(const auto range, place(address, data.size(), what));
  std::ranges::copy(data, range.begin());
  return {};
}

}  // namespace wasmgrad::graph
