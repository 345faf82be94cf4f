// The module wasmgrad._graph_format: reads graph modules for every engine. It links none, nor libtorch: what
// most commands start with must load at once.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "wasmgrad/bindings/buffer.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/graph/graph_file.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

// What `make` makes of each, in a tuple.
template <class Range, class Make>
nb::tuple tuple_of(const Range& range, Make make) {
  nb::list made;
  for (const auto& each : range) made.append(make(each));
  return nb::tuple(made);
}

template <class Range>
nb::tuple tuple_of(const Range& range) {
  return tuple_of(range, [](const auto& each) { return each; });
}

template <class T, class Make>
nb::object optional_of(const std::optional<T>& value, Make make) {
  return value ? nb::object(make(*value)) : nb::none();
}

// A dictionary of names and values, in turn.
template <class... Rest>
nb::dict fields(Rest&&... rest) {
  nb::dict made;
  const auto add = [&](auto& self, const char* name, auto&& value, auto&&... others) -> void {
    made[name] = std::forward<decltype(value)>(value);
    if constexpr (sizeof...(others) > 0) self(self, std::forward<decltype(others)>(others)...);
  };
  add(add, std::forward<Rest>(rest)...);
  return made;
}

nb::dict fields_of(const graph::TensorInfo& tensor) {
  return fields("name", tensor.name, "dtype", tensor.dtype, "shape", tuple_of(tensor.shape), "batched",
                tuple_of(tensor.batched));
}

nb::dict fields_of(const graph::StateInfo& state) {
  return fields("name", state.name, "dtype", state.dtype, "shape", tuple_of(state.shape), "output",
                state.output);
}

nb::dict fields_of(const graph::PlanEntry& entry) {
  return fields("name", entry.name, "kernel", entry.kernel, "flops", entry.flops, "bytes", entry.bytes);
}

nb::dict fields_of(const graph::Plan& plan) {
  const auto each = [](const auto& part) { return fields_of(part); };
  const auto bounds = [](const graph::Batch& batch) {
    return fields("least", batch.least, "most", batch.most);
  };
  return fields("entry", plan.entry, "batch", optional_of(plan.batch, bounds), "inputs",
                tuple_of(plan.inputs, each), "outputs", tuple_of(plan.outputs, each), "flops", plan.flops,
                "plan", tuple_of(plan.calls, each));
}

nb::dict fields_of(const graph::Preprocess& how) {
  return fields("resize", how.resize, "crop", nb::make_tuple(how.height, how.width), "interpolation",
                graph::name_of(how.interpolation), "layout", how.channels_last ? "NHWC" : "NCHW", "color",
                how.color, "scale", how.scale, "mean", tuple_of(how.mean), "std", tuple_of(how.std));
}

nb::dict fields_of(const graph::FixedTensor& tensor) {
  return fields("name", tensor.name, "sha256", tensor.sha256);
}

nb::dict fields_of(const graph::Training& training) {
  const auto each = [](const auto& part) { return fields_of(part); };
  return fields("loss", training.loss, "optimizer", training.optimizer, "batch", training.batch, "least",
                training.least, "partial", training.partial, "top_k", training.top_k, "classes",
                training.classes, "fixed", tuple_of(training.fixed, each));
}

nb::dict fields_of(const graph::Metadata& metadata) {
  const auto& [model, memory, weights, options] =
      std::tie(metadata.model, metadata.memory, metadata.weights, metadata.options);
  const auto each = [](const auto& part) { return fields_of(part); };
  nb::dict operators;
  for (const auto& [name, count] : metadata.operators) operators[nb::cast(name)] = count;
  nb::dict first = fields_of(metadata.plans.front());
  const nb::dict whole = fields(
      "abi", metadata.abi, "producer", metadata.producer,  //
      "model",
      fields("name", model.name, "format", model.format, "sha256", model.sha256, "opset", model.opset),
      "states", tuple_of(metadata.states, each),  //
      "operators", operators, "parameters", metadata.parameters, "further",
      tuple_of(std::span(metadata.plans).subspan(1), each),  //
      "memory", fields("bytes", memory.bytes, "weights", memory.weights, "workspace", memory.workspace),
      "weights",
      fields("mode", weights.in_file ? "file" : "embed", "bytes", weights.bytes, "sha256", weights.sha256),
      "options", fields("simd", options.simd, "opt_level", options.opt_level, "threads", options.threads),  //
      "preprocess", optional_of(metadata.preprocess, each), "training", optional_of(metadata.training, each),
      "labels", optional_of(metadata.labels, [](const auto& labels) { return tuple_of(labels); }));
  first.update(whole);
  return first;
}

nb::dict read_module(nb::handle module) {
  std::optional<Buffer> kept;
  const ByteSource source = source_of(module, kept);
  const graph::GraphFile file = [&] {
    const nb::gil_scoped_release unlocked;
    return value_of(graph::read_graph_file(source));
  }();
  const auto segment = [](const graph::DataSegment& one) {
    return nb::make_tuple(one.address, one.offset, one.size);
  };
  return fields("metadata", fields_of(file.metadata), "pages", file.pages, "code",
                nb::bytes(file.code.data(), file.code.size()), "segments", tuple_of(file.data, segment));
}

template <class T>
nb::dict read_json(const nb::bytes& json) {
  return fields_of(value_of(T::from_json(std::string_view(json.c_str(), json.size()))));
}

}  // namespace
}  // namespace wasmgrad::bindings

NB_MODULE(_graph_format, module) {
  using namespace wasmgrad;
  module.doc() = "The native reader of graph modules. Use it through the package.";
  bindings::register_errors();
  module.def(
      "read_module", &bindings::read_module, "module"_a,
      nb::sig("def read_module(module: int | memoryview) -> dict[str, typing.Any]"),
      "Its `metadata`, the `pages` of its memory, its `code` without large data, and `segments` of that: "
      "address, offset and size.\n\nAn int is the descriptor of an open file.");
  module.def("read_metadata", &bindings::read_json<graph::Metadata>, "json"_a,
             nb::sig("def read_metadata(json: bytes) -> dict[str, typing.Any]"));
  module.def("read_preprocess", &bindings::read_json<graph::Preprocess>, "json"_a,
             nb::sig("def read_preprocess(json: bytes) -> dict[str, typing.Any]"));
}
