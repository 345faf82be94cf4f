// wasmgrad._core.Trainer: the training host on arrays, with the interpreter lock released while it computes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "wasmgrad/bindings/arrays.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/events.hpp"
#include "wasmgrad/bindings/module.hpp"
#include "wasmgrad/runner/group.hpp"
#include "wasmgrad/runner/run_config.hpp"
#include "wasmgrad/training/torch/loop/torch_trainer.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

std::span<const std::byte> bytes_of(const nb::bytes& bytes) {
  return {static_cast<const std::byte*>(bytes.data()), bytes.size()};
}

/// f32, one after the other.
using Values = nb::ndarray<const float, nb::ndim<1>, nb::device::cpu, nb::c_contig>;

std::span<const std::byte> bytes_of(const Values& values) {
  return std::as_bytes(std::span(values.data(), values.size()));
}

nb::bytes to_bytes(const std::vector<std::byte>& bytes) { return nb::bytes(bytes.data(), bytes.size()); }

/// Options in the JSON form of a run configuration's `training` object, and those of the model that no owner
/// overrides: `losses` ("model", or {output: [name, weight]}), `groups` ([pattern, learning rate, weight
/// decay] each, null for what is that of the others) and `keep_integers`.
training::TrainerOptions options_from(const std::string& training_json, const std::string& model_json) {
  const auto training = nlohmann::json::parse(training_json, nullptr, false);
  const nlohmann::json config{{"guest", "trainer"}, {"training", training}};
  auto options = value_of(runner::RunConfig::from_json(config.dump())).training.apply({});
  const auto model = nlohmann::json::parse(model_json);
  const auto& losses = model.at("losses");
  options.model_loss = losses == "model";
  if (!options.model_loss) {
    for (const auto& [output, loss] : losses.items()) {
      const auto kind = value_of(training::parse_loss(loss.at(0).get<std::string>()));
      options.losses.push_back({output, kind, loss.at(1).get<double>()});
    }
  }
  for (const auto& group : model.at("groups")) {
    const auto number = [&](std::size_t i) {
      return group.at(i).is_null() ? std::nullopt : std::optional(group.at(i).get<double>());
    };
    options.optimizer.groups.push_back({group.at(0).get<std::string>(), number(1), number(2)});
  }
  options.keep_integers = model.at("keep_integers").get<bool>();
  return options;
}

/// The `distributed` object of a run configuration, or null.
runner::RunConfig distributed_from(const std::string& distributed_json) {
  nlohmann::json config{{"guest", "trainer"}};
  if (auto distributed = nlohmann::json::parse(distributed_json, nullptr, false); !distributed.is_null())
    config["distributed"] = std::move(distributed);
  return value_of(runner::RunConfig::from_json(config.dump()));
}

std::unique_ptr<training::Collective> join(runner::RunConfig& config) {
  const nb::gil_scoped_release unlocked;
  return value_of(runner::join_group(config));
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

  /// `exclusive(work)` that may call on_event; what that raised is raised here.
  template <class Work>
  auto observed(Work work) {
    auto result = exclusive([&] {
      stop_.reset();
      return work();
    });
    observer_.rethrow();
    if (group_ != nullptr && group_->failure()) throw Raised{{Errc::kPeerLost, *group_->failure()}};
    return result;
  }

 public:
  PyTrainer(const nb::bytes& archive, const std::string& name, const std::string& options,
            const std::string& model_options, const std::string& distributed, nb::object on_event)
      : config_(distributed_from(distributed)),
        group_(join(config_)),
        observer_(std::move(on_event), stop_),
        trainer_(create(archive, name, options_from(options, model_options))) {
    observer_.rethrow();
  }

  nb::dict fit(const training::Dataset& train, const std::optional<training::Dataset>& validation,
               const std::optional<training::Dataset>& test) {
    return report_dict(value_of(observed([&] { return trainer_.fit(train, validation, test); })));
  }

  nb::dict evaluate(const training::Dataset& data) {
    return metrics_dict(value_of(observed([&] { return trainer_.evaluate(data); })));
  }

  nb::dict train_epoch(const training::Dataset& train) {
    return epoch_dict(value_of(observed([&] { return trainer_.train_epoch(train); })));
  }

  nb::dict step(const NamedArrays& inputs, const NamedArrays& targets) {
    const auto input_views = views_of(inputs, "inputs");
    const auto target_views = views_of(targets, "targets");
    return metrics_dict(value_of(observed([&] { return trainer_.step(input_views, target_views); })));
  }

  nb::dict backward(const NamedArrays& inputs, const NamedArrays& targets) {
    const auto input_views = views_of(inputs, "inputs");
    const auto target_views = views_of(targets, "targets");
    return metrics_dict(value_of(exclusive([&] { return trainer_.backward(input_views, target_views); })));
  }

  void apply() {
    check(observed([&] { return trainer_.apply(); }));
  }

  nb::dict predict(const NamedArrays& inputs) {
    const auto views = views_of(inputs, "inputs");
    return arrays_of(value_of(exclusive([&] { return trainer_.predict(views); })));
  }

  void set(const std::string& key, double value) {
    check(exclusive([&] { return trainer_.set(key, value); }));
  }

  nb::ndarray<nb::numpy, float> get_parameters() {
    return values(trainer_.parameter_bytes(),
                  [&](std::span<std::byte> to) { return trainer_.parameters(to); });
  }
  nb::ndarray<nb::numpy, float> get_gradients() {
    return values(trainer_.parameter_bytes(),
                  [&](std::span<std::byte> to) { return trainer_.gradients(to); });
  }
  nb::ndarray<nb::numpy, float> get_buffers() {
    return values(trainer_.buffer_bytes(), [&](std::span<std::byte> to) { return trainer_.buffers(to); });
  }
  void set_parameters(const Values& values) {
    check(exclusive([&] { return trainer_.set_parameters(bytes_of(values)); }));
  }
  void set_gradients(const Values& values) {
    check(exclusive([&] { return trainer_.set_gradients(bytes_of(values)); }));
  }
  void set_buffers(const Values& values) {
    check(exclusive([&] { return trainer_.set_buffers(bytes_of(values)); }));
  }

  nb::dict state() {
    return arrays_of(value_of(exclusive([&] { return trainer_.state(); })));
  }
  void set_state(const NamedArrays& tensors) {
    const auto views = views_of(tensors, "state");
    check(exclusive([&] { return trainer_.set_state(views); }));
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

  nb::bytes weights() {
    return to_bytes(value_of(exclusive([&] { return trainer_.model().save_safetensors(); })));
  }
  std::vector<std::string> branches() {
    return exclusive([&] { return trainer_.model().branches(); });
  }
  nb::bytes adapters() {
    return to_bytes(value_of(exclusive([&] { return trainer_.model().save_adapters(); })));
  }

  [[nodiscard]] std::int64_t epoch() const { return trainer_.epoch(); }
  [[nodiscard]] std::int64_t steps() const { return trainer_.steps(); }
  [[nodiscard]] int rank() const { return group_ == nullptr ? 0 : group_->rank(); }
  [[nodiscard]] int processes() const { return group_ == nullptr ? 1 : group_->size(); }
  [[nodiscard]] std::uint64_t parameters() const { return trainer_.parameter_bytes() / sizeof(float); }
  [[nodiscard]] std::vector<std::string> warnings() const { return trainer_.model().warnings(); }

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
  training::TorchTrainer create(const nb::bytes& archive, const std::string& name,
                                const training::TrainerOptions& options) {
    const nb::gil_scoped_release unlocked;
    auto model = value_of(training::TorchModel::load(bytes_of(archive), name, training::kOwnModelBytes));
    return value_of(training::TorchTrainer::create(std::move(model), options, &observer_, &stop_,
                                                   runner::replication(config_.distributed, group_.get())));
  }

  /// f32 values of so many bytes as one array, written by `write(bytes)`.
  template <class Write>
  nb::ndarray<nb::numpy, float> values(std::uint64_t bytes, Write write) {
    auto kept = std::make_unique<std::vector<float>>(bytes / sizeof(float));
    check(exclusive([&] { return write(std::as_writable_bytes(std::span(*kept))); }));
    const std::size_t shape[] = {kept->size()};
    float* data = kept->data();
    const nb::capsule owner(kept.release(),
                            [](void* pointer) noexcept { delete static_cast<std::vector<float>*>(pointer); });
    return {data, 1, shape, owner};
  }

  runner::RunConfig config_;
  std::unique_ptr<training::Collective> group_;
  StopToken stop_;
  PythonObserver observer_;
  training::TorchTrainer trainer_;
  bool busy_ = false;  // guarded by the interpreter lock
};

PyType_Slot kTrainerSlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(PyTrainer::traverse)},
                               {Py_tp_clear, reinterpret_cast<void*>(PyTrainer::clear)},
                               {0, nullptr}};

}  // namespace

void bind_trainer(nb::module_& module) {
  nb::class_<PyTrainer>(module, "Trainer", "A model, an optimizer and their whole state.",
                        nb::type_slots(kTrainerSlots))
      .def(nb::init<const nb::bytes&, const std::string&, const std::string&, const std::string&,
                    const std::string&, nb::object>(),
           "model"_a, "name"_a, "options"_a, "model_options"_a, "distributed"_a, "on_event"_a.none(),
           nb::sig(
               "def __init__(self, model: bytes, name: str, options: str, model_options: str, distributed: "
               "str, on_event: "
               "collections.abc.Callable[[dict[str, typing.Any]], object] | None) -> None"))
      .def("fit", &PyTrainer::fit, "train"_a, "validation"_a.none(), "test"_a.none(),
           nb::sig("def fit(self, train: Dataset, validation: Dataset | None, test: Dataset | None) -> "
                   "dict[str, typing.Any]"))
      .def("train_epoch", &PyTrainer::train_epoch, "train"_a,
           nb::sig("def train_epoch(self, train: Dataset) -> dict[str, typing.Any]"))
      .def("evaluate", &PyTrainer::evaluate, "data"_a,
           nb::sig("def evaluate(self, data: Dataset) -> dict[str, typing.Any]"))
      .def("step", &PyTrainer::step, "inputs"_a, "targets"_a,
           nb::sig("def step(self, inputs: list[tuple[str, numpy.typing.NDArray[typing.Any]]], targets: "
                   "list[tuple[str, numpy.typing.NDArray[typing.Any]]]) -> dict[str, typing.Any]"))
      .def("backward", &PyTrainer::backward, "inputs"_a, "targets"_a,
           nb::sig("def backward(self, inputs: list[tuple[str, numpy.typing.NDArray[typing.Any]]], targets: "
                   "list[tuple[str, numpy.typing.NDArray[typing.Any]]]) -> dict[str, typing.Any]"))
      .def("apply", &PyTrainer::apply)
      .def("predict", &PyTrainer::predict, "inputs"_a,
           nb::sig("def predict(self, inputs: list[tuple[str, numpy.typing.NDArray[typing.Any]]]) -> "
                   "dict[str, numpy.typing.NDArray[typing.Any]]"))
      .def("set", &PyTrainer::set, "key"_a, "value"_a)
      .def("get_parameters", &PyTrainer::get_parameters,
           nb::sig("def get_parameters(self) -> numpy.typing.NDArray[numpy.float32]"))
      .def("set_parameters", &PyTrainer::set_parameters, "values"_a,
           nb::sig("def set_parameters(self, values: numpy.typing.NDArray[numpy.float32]) -> None"))
      .def("get_gradients", &PyTrainer::get_gradients,
           nb::sig("def get_gradients(self) -> numpy.typing.NDArray[numpy.float32]"))
      .def("set_gradients", &PyTrainer::set_gradients, "values"_a,
           nb::sig("def set_gradients(self, values: numpy.typing.NDArray[numpy.float32]) -> None"))
      .def("get_buffers", &PyTrainer::get_buffers,
           nb::sig("def get_buffers(self) -> numpy.typing.NDArray[numpy.float32]"))
      .def("set_buffers", &PyTrainer::set_buffers, "values"_a,
           nb::sig("def set_buffers(self, values: numpy.typing.NDArray[numpy.float32]) -> None"))
      .def("state", &PyTrainer::state,
           nb::sig("def state(self) -> dict[str, numpy.typing.NDArray[typing.Any]]"))
      .def(
          "set_state", &PyTrainer::set_state, "tensors"_a,
          nb::sig("def set_state(self, tensors: list[tuple[str, numpy.typing.NDArray[typing.Any]]]) -> None"))
      .def("checkpoint", &PyTrainer::checkpoint)
      .def("restore", &PyTrainer::restore, "checkpoint"_a)
      .def("model", &PyTrainer::model)
      .def("weights", &PyTrainer::weights)
      .def_prop_ro("branches", &PyTrainer::branches)
      .def("adapters", &PyTrainer::adapters)
      .def_prop_ro("epoch", &PyTrainer::epoch)
      .def_prop_ro("steps", &PyTrainer::steps)
      .def_prop_ro("rank", &PyTrainer::rank)
      .def_prop_ro("processes", &PyTrainer::processes)
      .def_prop_ro("parameters", &PyTrainer::parameters)
      .def_prop_ro("warnings", &PyTrainer::warnings);
}

}  // namespace wasmgrad::bindings
