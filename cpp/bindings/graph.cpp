// wasmgrad._core.GraphExecutor: graph modules on WasmEdge, with the interpreter lock released while they run.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <span>
#include <string>

#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/module.hpp"
#include "wasmgrad/graph/executor.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

// The contiguous bytes of any object with the buffer protocol, borrowed.
class Buffer {
 public:
  Buffer(nb::handle object, int flags) {
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) nb::raise_python_error();
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { PyBuffer_Release(&view_); }

  [[nodiscard]] std::span<std::byte> bytes() const noexcept {
    return {static_cast<std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

class PyGraphExecutor {
 public:
  PyGraphExecutor(nb::handle wasm, nb::handle weights, const std::string& cache_dir, std::uint32_t max_pages)
      : executor_(create(wasm, weights, cache_dir, max_pages)) {}

  void write_input(std::size_t index, nb::handle data) {
    const Buffer buffer(data, PyBUF_SIMPLE);
    exclusive([&] { return executor_.write_input(index, buffer.bytes()); });
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

 private:
  static graph::Executor create(nb::handle wasm, nb::handle weights, const std::string& cache_dir,
                                std::uint32_t max_pages) {
    const Buffer module(wasm, PyBUF_SIMPLE);
    std::optional<Buffer> file;
    if (!weights.is_none()) file.emplace(weights, PyBUF_SIMPLE);
    graph::ExecutorConfig config;
    config.module = module.bytes();
    if (file) config.weights = file->bytes();
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

}  // namespace

void bind_graph(nb::module_& module) {
  nb::class_<PyGraphExecutor>(module, "GraphExecutor", "A graph module, compiled and loaded by WasmEdge.")
      .def(nb::init<nb::handle, nb::handle, const std::string&, std::uint32_t>(), "wasm"_a,
           "weights"_a.none(), "cache_dir"_a, "max_pages"_a,
           nb::sig("def __init__(self, wasm: bytes | memoryview, weights: bytes | memoryview | None, "
                   "cache_dir: str, "
                   "max_pages: int) -> None"))
      .def("write_input", &PyGraphExecutor::write_input, "index"_a, "data"_a,
           nb::sig("def write_input(self, index: int, data: bytes | bytearray | memoryview | "
                   "numpy.typing.NDArray[typing.Any]) -> None"))
      .def("run", &PyGraphExecutor::run)
      .def("call", &PyGraphExecutor::call, "index"_a)
      .def("read_output", &PyGraphExecutor::read_output, "index"_a, "data"_a,
           nb::sig("def read_output(self, index: int, data: bytearray | memoryview | "
                   "numpy.typing.NDArray[typing.Any]) -> None"));
}

}  // namespace wasmgrad::bindings
