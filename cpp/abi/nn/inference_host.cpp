#include "wasmgrad/abi/nn/inference_host.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wasmgrad/abi/guest_results.hpp"
#include "wasmgrad/abi/imports.hpp"
#include "wasmgrad/abi/tensor_records.hpp"
#include "wasmgrad/base/file.hpp"

namespace wasmgrad::abi::nn {

namespace {

/// A graph_builder in guest memory.
struct Builder {
  std::uint32_t data, bytes;
};

/// More parts than any format has.
constexpr std::uint32_t kMaxBuilders = 16;
constexpr std::uint32_t kMaxModelName = 4096;

constexpr std::uint32_t number_of(Errno code) noexcept { return static_cast<std::uint32_t>(code); }

constexpr Errnos kErrnos = {[](Errc code) noexcept { return number_of(errno_of(code)); },
                            number_of(Errno::kMissingMemory), number_of(Errno::kBusy)};

Status check_target(std::uint32_t target) {
  switch (static_cast<Target>(target)) {
    case Target::kCpu:
    case Target::kAuto:
      return {};
    case Target::kGpu:
    case Target::kTpu:
      return Error{Errc::kUnsupportedOperation,
                   "target " + std::to_string(target) +
                       (static_cast<Target>(target) == Target::kGpu
                            ? " (GPU) was asked for; this host has the CPU only"
                            : " (TPU) was asked for; this host has the CPU only")};
  }
  return invalid("target " + std::to_string(target) + " is not known; expected 0 (CPU)");
}

/// A guest's configuration for a model may be there, but must not ask for anything.
bool asks_for_nothing(std::string_view config) {
  std::string marks;
  for (const char c : config) {
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') marks += c;
  }
  return marks.empty() || marks == "{}";
}

}  // namespace

InferenceHost::InferenceHost(GuestContext& context, std::vector<std::unique_ptr<Backend>> backends,
                             Report report)
    : context_(context),
      backends_(std::move(backends)),
      report_(std::move(report)),
      graphs_("graph", context.handles),
      executions_("execution context", context.handles) {}

std::vector<HostFunction> InferenceHost::functions() {
  const auto import = [this](std::string_view name, auto method, bool opens_files = false) {
    HostFunction function = errno_import(kModule, name, kErrnos, context_.gate, last_error_, *this, method);
    function.opens_files = opens_files;
    function.call = [this, call = std::move(function.call)](
                        GuestMemory memory, std::span<const Value> arguments, std::span<Value> results) {
      Status status = call(memory, arguments, results);
      if (results[0].i32 != 0 && report_) report_(std::string(kModule) + "." + last_error_.get());
      return status;
    };
    return function;
  };
  return {
      import("load", &InferenceHost::load, true),
      import("load_by_name", &InferenceHost::load_by_name, true),
      import("load_by_name_with_config", &InferenceHost::load_by_name_with_config, true),
      import("init_execution_context", &InferenceHost::init_execution_context, true),
      import("set_input", &InferenceHost::set_input),
      import("compute", &InferenceHost::compute),
      import("get_output", &InferenceHost::get_output),
      import("unload", &InferenceHost::unload),
      import("finalize_execution_context", &InferenceHost::finalize_execution_context),
  };
}

Expected<Backend*> InferenceHost::backend_for(Encoding encoding, std::span<const std::byte> part) const {
  const bool detect = encoding == Encoding::kAutodetect || encoding == kOtherAutodetect;
  for (const auto& backend : backends_) {
    if (detect ? backend->recognizes(part) : backend->encoding() == encoding) return backend.get();
  }
  const std::string number = std::to_string(static_cast<std::uint32_t>(encoding));
  return Error{Errc::kInvalidEncoding,
               detect
                   ? "the bytes are in no format that this host knows; expected a TorchScript archive or a "
                     "compiled graph module"
                   : "encoding " + number + " is not served; expected 3 (PyTorch) or 5 (autodetect)"};
}

Expected<std::uint32_t> InferenceHost::add(Encoding encoding,
                                           std::span<const std::span<const std::byte>> parts,
                                           const std::string& name) {
  WASMGRAD_CHECK(context_.handles.check(1));
  WASMGRAD_ASSIGN(Backend* const backend, backend_for(encoding, parts[0]));
  auto loaded = std::make_shared<LoadedGraph>();
  WASMGRAD_ASSIGN(loaded->graph, backend->load(parts, name, context_.budget.available()));
  WASMGRAD_ASSIGN(loaded->charge, context_.budget.charge(loaded->graph->bytes(), "the graph"));
  return graphs_.insert(std::move(loaded));
}

Status InferenceHost::load(const GuestMemory& memory, std::uint32_t builders, std::uint32_t count,
                           std::uint32_t encoding, std::uint32_t target, std::uint32_t graph) {
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, graph, "graph"));
  WASMGRAD_CHECK(check_target(target));
  if (count == 0 || count > kMaxBuilders) {
    return invalid(std::to_string(count) + " builders were given; expected 1 to " +
                   std::to_string(kMaxBuilders));
  }
  WASMGRAD_ASSIGN(const auto array,
                  memory.bytes(builders, std::uint64_t{count} * sizeof(Builder), "builders"));
  std::vector<std::span<const std::byte>> parts;
  for (std::uint32_t i = 0; i < count; ++i) {
    Builder builder;
    std::memcpy(&builder, array.data() + i * sizeof(Builder), sizeof(Builder));
    WASMGRAD_ASSIGN(const auto part,
                    memory.bytes(builder.data, builder.bytes, "builders[" + std::to_string(i) + "]"));
    parts.push_back(part);
  }
  WASMGRAD_ASSIGN(const std::uint32_t handle, add(static_cast<Encoding>(encoding), parts, "from bytes"));
  result.write(handle);
  return {};
}

Status InferenceHost::load_by_name(const GuestMemory& memory, std::uint32_t name, std::uint32_t name_bytes,
                                   std::uint32_t graph) {
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, graph, "graph"));
  if (name_bytes > kMaxModelName) {
    return invalid("the name has " + std::to_string(name_bytes) + " bytes; at most " +
                   std::to_string(kMaxModelName) + " are possible");
  }
  WASMGRAD_ASSIGN(const std::string text, read_name(memory, name, name_bytes, "name"));
  const auto named = context_.config.models.find(text);
  if (named == context_.config.models.end()) {
    return Error{Errc::kNotFound, "the owner granted no model under the name '" + text + "'"};
  }
  auto file = read_file(named->second, context_.config.max_model_file_bytes);
  if (!file) return file.error().within("model '" + text + "'");
  const std::span<const std::byte> part = *file;
  WASMGRAD_ASSIGN(const std::uint32_t handle, add(Encoding::kAutodetect, std::span(&part, 1), text));
  result.write(handle);
  return {};
}

Status InferenceHost::load_by_name_with_config(const GuestMemory& memory, std::uint32_t name,
                                               std::uint32_t name_bytes, std::uint32_t config,
                                               std::uint32_t config_bytes, std::uint32_t graph) {
  WASMGRAD_ASSIGN(const auto text, memory.text(config, config_bytes, "configuration"));
  if (!asks_for_nothing(text)) {
    return Error{Errc::kUnsupportedOperation,
                 "a configuration was given; the models of this host have none, expected nothing or {}"};
  }
  return load_by_name(memory, name, name_bytes, graph);
}

Status InferenceHost::init_execution_context(const GuestMemory& memory, std::uint32_t graph,
                                             std::uint32_t execution) {
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, execution, "context"));
  auto made = std::make_shared<Execution>();
  WASMGRAD_ASSIGN(made->loaded, graphs_.find(graph));
  made->inputs.resize(made->loaded->graph->inputs().size());
  WASMGRAD_ASSIGN(made->state_charge,
                  context_.budget.charge(made->loaded->graph->state_bytes(), "the context's state"));
  WASMGRAD_ASSIGN(const std::uint32_t handle, executions_.insert(std::move(made)));
  result.write(handle);
  return {};
}

Status InferenceHost::set_input(const GuestMemory& memory, std::uint32_t execution, std::uint32_t index,
                                std::uint32_t tensor) {
  WASMGRAD_ASSIGN(const auto found, executions_.find(execution));
  const Graph& graph = *found->loaded->graph;
  if (index >= found->inputs.size()) {
    return invalid("input " + std::to_string(index) + " does not exist; the graph has " +
                   std::to_string(found->inputs.size()));
  }
  const std::string& name = graph.inputs()[index].name;
  const std::string where = "input " + std::to_string(index) + " ('" + name + "')";
  const auto view = read_tensor_record(memory, tensor, name);
  if (!view) return view.error().within(where);
  if (const Status status = graph.check_input(index, *view); !status) return status.error().within(where);
  Tensor copy{view->dtype(), view->shape(), {}, {}};
  WASMGRAD_ASSIGN(copy.charge, context_.budget.charge(view->data().size(), where));
  copy.bytes.assign(view->data().begin(), view->data().end());
  found->inputs[index] = std::move(copy);
  return {};
}

Status InferenceHost::compute(const GuestMemory& /*memory*/, std::uint32_t execution) {
  WASMGRAD_ASSIGN(const auto found, executions_.find(execution));
  Graph& graph = *found->loaded->graph;
  std::vector<TensorView> inputs;
  for (std::size_t i = 0; i < found->inputs.size(); ++i) {
    const auto& input = found->inputs[i];
    if (input) {
      WASMGRAD_ASSIGN(TensorView view,
                      TensorView::create(graph.inputs()[i].name, input->dtype, input->shape, input->bytes));
      inputs.push_back(std::move(view));
    } else if (graph.inputs()[i].required) {
      return invalid("input " + std::to_string(i) + " ('" + graph.inputs()[i].name + "') is not set");
    }
  }
  found->outputs.reset();
  found->outputs_charge.release();
  WASMGRAD_CHECK(graph.go_on_from(found->state));
  WASMGRAD_ASSIGN(auto outputs, graph.compute(inputs, context_.budget.available()));
  std::uint64_t bytes = 0;
  for (const training::Output& output : outputs) bytes += output.bytes.size();
  WASMGRAD_ASSIGN(found->outputs_charge, context_.budget.charge(bytes, "the outputs"));
  found->outputs = std::move(outputs);
  return {};
}

Status InferenceHost::get_output(const GuestMemory& memory, std::uint32_t execution, std::uint32_t index,
                                 std::uint32_t buffer, std::uint32_t buffer_bytes, std::uint32_t written) {
  WASMGRAD_ASSIGN(const auto room, memory.writable_bytes(buffer, buffer_bytes, "buffer"));
  WASMGRAD_ASSIGN(const auto result, ValueResult<std::uint32_t>::at(memory, written, "written"));
  WASMGRAD_ASSIGN(const auto found, executions_.find(execution));
  if (!found->outputs) return invalid("there are no outputs; compute must have succeeded first");
  if (index >= found->outputs->size()) {
    return invalid("output " + std::to_string(index) + " does not exist; the graph has " +
                   std::to_string(found->outputs->size()));
  }
  const std::vector<std::byte>& bytes = (*found->outputs)[index].bytes;
  if (bytes.size() > room.size()) {
    return Error{Errc::kTooLarge, "output " + std::to_string(index) + " has " + std::to_string(bytes.size()) +
                                      " bytes, but the buffer has room for " + std::to_string(room.size())};
  }
  std::ranges::copy(bytes, room.begin());
  result.write(static_cast<std::uint32_t>(bytes.size()));
  return {};
}

Status InferenceHost::unload(const GuestMemory& /*memory*/, std::uint32_t graph) {
  WASMGRAD_CHECK(graphs_.close(graph));
  return {};
}

Status InferenceHost::finalize_execution_context(const GuestMemory& /*memory*/, std::uint32_t execution) {
  WASMGRAD_CHECK(executions_.close(execution));
  return {};
}

}  // namespace wasmgrad::abi::nn
