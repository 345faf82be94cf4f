// wasmgrad._core.Dataset: samples and targets copied from arrays.
#include "wasmgrad/training/dataset.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <new>

#include "wasmgrad/bindings/arrays.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/module.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

void create(training::Dataset* self, const Array& inputs, const Array& targets, const std::string& loss,
            std::uint64_t max_bytes) {
  const TensorView input_view = view_of(inputs, "inputs");
  const TensorView target_view = view_of(targets, "targets");
  const training::LossKind kind = value_of(training::parse_loss(loss));
  const nb::gil_scoped_release unlocked;
  new (self) training::Dataset(value_of(training::Dataset::create(input_view, target_view, kind, max_bytes)));
}

}  // namespace

void bind_dataset(nb::module_& module) {
  nb::class_<training::Dataset>(module, "Dataset",
                                "Samples and targets, copied and checked for one kind of loss.")
      .def("__init__", &create, "inputs"_a, "targets"_a, "loss"_a, "max_bytes"_a,
           nb::sig("def __init__(self, inputs: numpy.typing.NDArray[typing.Any], targets: "
                   "numpy.typing.NDArray[typing.Any], loss: str, max_bytes: int) -> None"));
}

}  // namespace wasmgrad::bindings
