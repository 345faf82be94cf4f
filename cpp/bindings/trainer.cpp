// wasmgrad._core.Trainer: the training host on arrays, with the interpreter lock released while it computes.
#include "wasmgrad/training/trainer.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "wasmgrad/bindings/arrays.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/events.hpp"
#include "wasmgrad/bindings/module.hpp"
#include "wasmgrad/runner/run_config.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

constexpr std::uint64_t kMaxModelBytes = std::uint64_t{8}
                                         << 30;  // the caller's own model: a guard against damage only

std::span<const std::byte> bytes_of(const nb::bytes& bytes) {
  return {static_cast<const std::byte*>(bytes.data()), bytes.size()};
}

nb::bytes to_bytes(const std::vector<std::byte>& bytes) { return nb::bytes(bytes.data(), bytes.size()); }

/// Options in the JSON form of a run configuration's `training` object.
training::TrainerOptions options_from(const std::string& json) {
  const auto training = nlohmann::json::parse(json, nullptr, false);
  const nlohmann::json config{{"guest", "trainer"}, {"training", training}};
  return value_of(runner::RunConfig::from_json(config.dump())).training.apply({});
}

class PyTrainer {
  /// `work()` without the interpreter lock, refusing a second use meanwhile: from another thread or from
  /// on_event.
  template <class Work>
  auto exclusive(Work work) {
    if (busy_)
      throw Raised{{Errc::kInvalidArgument,
                    "trainer: it is in use, in another thread or by the fit() that calls on_event"}};
    busy_ = true;
    auto result = [&] {
      const nb::gil_scoped_release unlocked;
      return work();
    }();
    busy_ = false;
    return result;
  }

 public:
  PyTrainer(const nb::bytes& archive, const std::string& name, const std::string& options,
            nb::object on_event)
      : observer_(std::move(on_event), stop_), trainer_(create(archive, name, options)) {}

  nb::dict fit(const training::Dataset& train, const std::optional<training::Dataset>& validation,
               const std::optional<training::Dataset>& test) {
    const auto report = exclusive([&] {
      stop_.reset();
      return trainer_.fit(train, validation, test);
    });
    observer_.rethrow();
    return report_dict(value_of(report));
  }

  nb::dict evaluate(const training::Dataset& data) {
    return metrics_dict(value_of(exclusive([&] { return trainer_.evaluate(data); })));
  }

  nb::dict step(const Array& inputs, const Array& targets) {
    const TensorView input_view = view_of(inputs, "inputs");
    const TensorView target_view = view_of(targets, "targets");
    return metrics_dict(value_of(exclusive([&] { return trainer_.step(input_view, target_view); })));
  }

  nb::ndarray<nb::numpy, float> predict(const Array& inputs) {
    const TensorView view = view_of(inputs, "inputs");
    auto result =
        std::make_unique<training::Prediction>(value_of(exclusive([&] { return trainer_.predict(view); })));
    const std::vector<std::size_t> shape(result->shape.begin(), result->shape.end());
    float* values = result->values.data();
    const nb::capsule owner(
        result.release(), [](void* pointer) noexcept { delete static_cast<training::Prediction*>(pointer); });
    return {values, shape.size(), shape.data(), owner};
  }

  nb::bytes checkpoint() {
    return to_bytes(value_of(exclusive([&] { return trainer_.checkpoint(); })));
  }

  void restore(const nb::bytes& checkpoint) {
    check(exclusive([&] { return trainer_.restore(bytes_of(checkpoint)); }));
  }

  nb::bytes model() {
    return to_bytes(value_of(exclusive([&] { return trainer_.model().save(); })));
  }

  [[nodiscard]] std::int64_t epoch() const { return trainer_.epoch(); }
  [[nodiscard]] std::int64_t parameters() const { return trainer_.model().parameter_count(); }
  [[nodiscard]] std::string loss() const { return std::string(training::name_of(trainer_.options().loss)); }

  static int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (nb::inst_ready(self)) Py_VISIT(nb::inst_ptr<PyTrainer>(self)->observer_.callback().ptr());
    return 0;
  }

  static int clear(PyObject* self) {
    nb::inst_ptr<PyTrainer>(self)->observer_.callback().reset();
    return 0;
  }

 private:
  training::Trainer create(const nb::bytes& archive, const std::string& name, const std::string& options) {
    const training::TrainerOptions chosen = options_from(options);
    const nb::gil_scoped_release unlocked;
    auto model = value_of(training::Model::load(bytes_of(archive), name, kMaxModelBytes));
    return value_of(training::Trainer::create(std::move(model), chosen, &observer_, &stop_));
  }

  StopToken stop_;
  PythonObserver observer_;
  training::Trainer trainer_;
  bool busy_ = false;  // guarded by the interpreter lock
};

PyType_Slot kTrainerSlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(PyTrainer::traverse)},
                               {Py_tp_clear, reinterpret_cast<void*>(PyTrainer::clear)},
                               {0, nullptr}};

}  // namespace

void bind_trainer(nb::module_& module) {
  nb::class_<PyTrainer>(module, "Trainer", "A model, an optimizer and their whole state.",
                        nb::type_slots(kTrainerSlots))
      .def(nb::init<const nb::bytes&, const std::string&, const std::string&, nb::object>(), "model"_a,
           "name"_a, "options"_a, "on_event"_a.none(),
           nb::sig("def __init__(self, model: bytes, name: str, options: str, on_event: "
                   "collections.abc.Callable[[dict[str, typing.Any]], object] | None) -> None"))
      .def("fit", &PyTrainer::fit, "train"_a, "validation"_a.none(), "test"_a.none(),
           nb::sig("def fit(self, train: Dataset, validation: Dataset | None, test: Dataset | None) -> "
                   "dict[str, typing.Any]"))
      .def("evaluate", &PyTrainer::evaluate, "data"_a,
           nb::sig("def evaluate(self, data: Dataset) -> dict[str, typing.Any]"))
      .def("step", &PyTrainer::step, "inputs"_a, "targets"_a,
           nb::sig("def step(self, inputs: numpy.typing.NDArray[typing.Any], targets: "
                   "numpy.typing.NDArray[typing.Any]) -> dict[str, typing.Any]"))
      .def("predict", &PyTrainer::predict, "inputs"_a,
           nb::sig("def predict(self, inputs: numpy.typing.NDArray[typing.Any]) -> "
                   "numpy.typing.NDArray[numpy.float32]"))
      .def("checkpoint", &PyTrainer::checkpoint)
      .def("restore", &PyTrainer::restore, "checkpoint"_a)
      .def("model", &PyTrainer::model)
      .def_prop_ro("epoch", &PyTrainer::epoch)
      .def_prop_ro("parameters", &PyTrainer::parameters)
      .def_prop_ro("loss", &PyTrainer::loss);
}

}  // namespace wasmgrad::bindings
