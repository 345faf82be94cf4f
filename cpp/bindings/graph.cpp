// The module wasmgrad._graph_core: graph modules on WasmEdge, with the interpreter lock released while they
// run. It is apart from _core because it needs no libtorch, which takes longer to load than most models.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>

#include "wasmgrad/bindings/buffer.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/graph/executor.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

class PyGraphExecutor {
 public:
  PyGraphExecutor(nb::handle module, nb::handle weights, const std::string& cache_dir,
                  std::uint32_t max_pages)
      : executor_(create(module, weights, cache_dir, max_pages)) {}

  void write_input(std::size_t index, nb::handle data) {
    const Buffer buffer(data, PyBUF_SIMPLE);
    exclusive([&] { return executor_.write_input(index, buffer.bytes()); });
  }

  void select(std::size_t number, std::uint64_t batch) {
    exclusive([&] { return executor_.select(number, batch); });
  }

  void run() {
    exclusive([&] { return executor_.run(); });
  }

  void call(std::size_t index) {
    exclusive([&] { return executor_.call(index); });
  }

  void read_output(std::size_t index, nb::handle data) {
    const Buffer buffer(data, PyBUF_WRITABLE);
    exclusive([&] { return executor_.read_output(index, buffer.bytes()); });
  }

  void write_state(std::size_t index, nb::handle data) {
    const Buffer buffer(data, PyBUF_SIMPLE);
    exclusive([&] { return executor_.write_state(index, buffer.bytes()); });
  }

  void read_state(std::size_t index, nb::handle data) {
    const Buffer buffer(data, PyBUF_WRITABLE);
    exclusive([&] { return executor_.read_state(index, buffer.bytes()); });
  }

 private:
  static graph::Executor create(nb::handle module, nb::handle weights, const std::string& cache_dir,
                                std::uint32_t max_pages) {
    std::optional<Buffer> kept_module, kept_weights;
    graph::ExecutorConfig config;
    config.module = source_of(module, kept_module);
    if (!weights.is_none()) config.weights = source_of(weights, kept_weights);
    config.max_memory_pages = max_pages;
    config.aot_cache = cache_dir;
    const nb::gil_scoped_release unlocked;
    return value_of(graph::Executor::create(config));
  }

  // `work()` without the interpreter lock, refusing a second use from another thread meanwhile.
  template <class Work>
  void exclusive(Work work) {
    if (busy_) throw Raised{{Errc::kInvalidArgument, "graph executor: it is in use in another thread"}};
    busy_ = true;
    const Status status = [&] {
      const nb::gil_scoped_release unlocked;
      return work();
    }();
    busy_ = false;
    check(status);
  }

  graph::Executor executor_;
  bool busy_ = false;  // guarded by the interpreter lock
};

void bind_graph(nb::module_& module) {
  nb::class_<PyGraphExecutor>(module, "GraphExecutor", "A graph module, compiled and loaded by WasmEdge.")
      .def(nb::init<nb::handle, nb::handle, const std::string&, std::uint32_t>(), "module"_a,
           "weights"_a.none(), "cache_dir"_a, "max_pages"_a,
           nb::sig("def __init__(self, module: int | memoryview, weights: int | memoryview | None, "
                   "cache_dir: str, max_pages: int) -> None"),
           "An int is the descriptor of an open file, which is read rather than kept in memory.")
      .def("write_input", &PyGraphExecutor::write_input, "index"_a, "data"_a,
           nb::sig("def write_input(self, index: int, data: bytes | bytearray | memoryview | "
                   "numpy.typing.NDArray[typing.Any]) -> None"))
      .def("select", &PyGraphExecutor::select, "number"_a, "batch"_a)
      .def("run", &PyGraphExecutor::run)
      .def("call", &PyGraphExecutor::call, "index"_a)
      .def("read_output", &PyGraphExecutor::read_output, "index"_a, "data"_a,
           nb::sig("def read_output(self, index: int, data: bytearray | memoryview | "
                   "numpy.typing.NDArray[typing.Any]) -> None"))
      .def("write_state", &PyGraphExecutor::write_state, "index"_a, "data"_a,
           nb::sig("def write_state(self, index: int, data: bytes | bytearray | memoryview | "
                   "numpy.typing.NDArray[typing.Any]) -> None"))
      .def("read_state", &PyGraphExecutor::read_state, "index"_a, "data"_a,
           nb::sig("def read_state(self, index: int, data: bytearray | memoryview | "
                   "numpy.typing.NDArray[typing.Any]) -> None"));
}

}  // namespace
}  // namespace wasmgrad::bindings

NB_MODULE(_graph_core, module) {
  module.doc() = "The native core of wasmgrad that runs graph modules. Use it through the package.";
  wasmgrad::bindings::register_errors();
  wasmgrad::bindings::bind_graph(module);
}
