// wasmgrad._core.GuestHost: the imports of one guest for engines that Python drives. The engine hands over
// the guest's memory as an address and a size with every call; nothing of it is kept afterwards.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "wasmgrad/abi/training_host.hpp"
#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/events.hpp"
#include "wasmgrad/bindings/module.hpp"
#include "wasmgrad/runner/guest_host.hpp"
#include "wasmgrad/runner/run_config.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

const char* type_name(ValueType type) {
  switch (type) {
    case ValueType::kI32:
      return "i32";
    case ValueType::kI64:
      return "i64";
    case ValueType::kF32:
      return "f32";
    case ValueType::kF64:
      return "f64";
  }
  return "";
}

nb::tuple type_names(const std::vector<ValueType>& types) {
  nb::list names;
  for (const ValueType type : types) names.append(type_name(type));
  return nb::tuple(names);
}

// Engines give integers as signed or unsigned; either way the bits are meant.
std::uint64_t bits_of(nb::handle number) {
  const unsigned long long bits = PyLong_AsUnsignedLongLongMask(number.ptr());
  if (PyErr_Occurred() != nullptr) nb::raise_python_error();
  return bits;
}

Value to_value(nb::handle number, ValueType type) {
  Value value{.i64 = 0};
  switch (type) {
    case ValueType::kI32:
      value.i32 = static_cast<std::uint32_t>(bits_of(number));
      break;
    case ValueType::kI64:
      value.i64 = bits_of(number);
      break;
    case ValueType::kF32:
      value.f32 = nb::cast<float>(number);
      break;
    case ValueType::kF64:
      value.f64 = nb::cast<double>(number);
      break;
  }
  return value;
}

nb::object from_value(Value value, ValueType type) {
  switch (type) {
    case ValueType::kI32:
      return nb::int_(static_cast<std::int32_t>(value.i32));
    case ValueType::kI64:
      return nb::int_(static_cast<std::int64_t>(value.i64));
    case ValueType::kF32:
      return nb::float_(static_cast<double>(value.f32));
    case ValueType::kF64:
      return nb::float_(value.f64);
  }
  return nb::none();
}

class PyGuestHost {
 public:
  PyGuestHost(const std::string& config_json, nb::object on_event)
      : observer_(std::move(on_event), stop_),
        host_(value_of(runner::RunConfig::from_json(config_json)), &observer_, &stop_),
        functions_(host_.functions()) {}

  [[nodiscard]] nb::list functions() const {
    nb::list list;
    for (const HostFunction& function : functions_) {
      list.append(nb::make_tuple(function.module, function.name, type_names(function.parameters),
                                 type_names(function.results)));
    }
    return list;
  }

  nb::tuple call(std::size_t index, std::uintptr_t memory, std::size_t size, const nb::tuple& arguments) {
    if (index >= functions_.size() || arguments.size() != functions_[index].parameters.size()) {
      throw Raised{{Errc::kInvalidArgument, "guest host: no such function, or not its arguments"}};
    }
    const HostFunction& function = functions_[index];
    std::vector<Value> values;
    for (std::size_t i = 0; i < function.parameters.size(); ++i) {
      values.push_back(to_value(arguments[i], function.parameters[i]));
    }
    std::vector<Value> results(function.results.size());
    const Status status = [&] {
      const nb::gil_scoped_release unlocked;
      // NOLINTNEXTLINE(performance-no-int-to-ptr): Python's engines give addresses as numbers
      return function.call(GuestMemory({reinterpret_cast<std::byte*>(memory), size}), values, results);
    }();
    observer_.rethrow();
    check(status);
    nb::list list;
    for (std::size_t i = 0; i < results.size(); ++i) {
      list.append(from_value(results[i], function.results[i]));
    }
    return nb::tuple(list);
  }

  void finish() {
    const Status status = [&] {
      const nb::gil_scoped_release unlocked;
      return host_.training().finish();
    }();
    observer_.rethrow();
    check(status);
    if (const auto interrupted = host_.training().interrupted())
      throw Raised{{Errc::kInterrupted, *interrupted}};
  }

  void request_stop() { stop_.request(); }

  [[nodiscard]] PythonObserver& observer() noexcept { return observer_; }

 private:
  StopToken stop_;
  PythonObserver observer_;
  runner::GuestHost host_;
  std::vector<HostFunction> functions_;
};

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<PyGuestHost>(self)->observer().callback().ptr());
  return 0;
}

int clear(PyObject* self) {
  nb::inst_ptr<PyGuestHost>(self)->observer().callback() = nb::object();
  return 0;
}

PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(clear)},
                       {0, nullptr}};

}  // namespace

void bind_host(nb::module_& module) {
  nb::class_<PyGuestHost>(module, "GuestHost", nb::type_slots(slots),
                          "The imports of one guest, for an engine that Python drives.")
      .def(nb::init<const std::string&, nb::object>(), "config"_a, "on_event"_a.none(),
           nb::sig("def __init__(self, config: str, on_event: collections.abc.Callable[[dict[str, "
                   "typing.Any]], object] | None) -> None"))
      .def("functions", &PyGuestHost::functions,
           nb::sig("def functions(self) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]"),
           "Module, name, parameter types and result types of each import.")
      .def("call", &PyGuestHost::call, "index"_a, "memory"_a, "size"_a, "arguments"_a,
           nb::sig("def call(self, index: int, memory: int, size: int, arguments: tuple[float, ...]) -> "
                   "tuple[float, ...]"),
           "Calls an import with the guest's memory, whose address is valid until this returns. Raises what "
           "should end the guest.")
      .def(
          "finish", &PyGuestHost::finish,
          "To be called when the guest has ended: writes what the owner asked for. Raises what went wrong on "
          "the owner's side.")
      .def("request_stop", &PyGuestHost::request_stop,
           "Ends a running training after its step. Safe in a signal handler.");
}

}  // namespace wasmgrad::bindings
