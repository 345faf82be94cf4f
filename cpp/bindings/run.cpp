// wasmgrad._core.run: one guest run inside this process, for owners who trust the guest.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "wasmgrad/base/stop.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/events.hpp"
#include "wasmgrad/bindings/module.hpp"
#include "wasmgrad/runner/group.hpp"
#include "wasmgrad/runner/run_config.hpp"
#include "wasmgrad/runner/runner.hpp"
#include "wasmgrad/sandbox/sandbox.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

nb::tuple run(const std::string& config_json, nb::object on_event, StopToken& stop) {
  runner::RunConfig config = value_of(runner::RunConfig::from_json(config_json));
  PythonObserver observer(std::move(on_event), stop);
  const auto report = [&]() -> Expected<runner::RunReport> {
    const nb::gil_scoped_release unlocked;
    WASMGRAD_ASSIGN(const auto group, runner::join_group(config));
    return runner::run(config, &observer, &stop, runner::Process::kShared, group.get());
  }();
  observer.rethrow();
  const runner::RunReport done = value_of(report);
  return nb::make_tuple(done.exit_code, done.seconds);
}

}  // namespace

void bind_run(nb::module_& module) {
  nb::class_<StopToken>(module, "StopToken", "A request to stop, polled by a run.")
      .def(nb::init<>())
      .def("request", &StopToken::request);
  module.def(
      "run", &run, "config"_a, "on_event"_a.none(), "stop"_a,
      nb::sig("def run(config: str, on_event: collections.abc.Callable[[dict[str, typing.Any]], object] | "
              "None, stop: StopToken) -> "
              "tuple[int, float]"),
      "Runs the configuration (JSON) in this process. Returns the guest's exit code and the seconds it "
      "took.");
  module.def("engine_version", &sandbox::engine_version, "Version of the WasmEdge library in use.");
}

}  // namespace wasmgrad::bindings
