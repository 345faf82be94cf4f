// wasmgrad._core.Dataset: rows copied from arrays.
#include "wasmgrad/training/data/dataset.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <new>

#include "wasmgrad/bindings/arrays.hpp"
#include "wasmgrad/bindings/errors.hpp"
#include "wasmgrad/bindings/module.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace wasmgrad::bindings {
namespace {

void create(training::Dataset* self, const NamedArrays& inputs, const NamedArrays& targets,
            std::uint64_t max_bytes) {
  const auto input_views = views_of(inputs, "inputs");
  const auto target_views = views_of(targets, "targets");
  const nb::gil_scoped_release unlocked;
  new (self) training::Dataset(value_of(training::Dataset::create(input_views, target_views, max_bytes)));
}

std::vector<training::Dataset> split(const training::Dataset& self, const std::vector<double>& fractions,
                                     std::uint64_t seed) {
  const nb::gil_scoped_release unlocked;
  return value_of(self.split(fractions, seed));
}

}  // namespace

void bind_dataset(nb::module_& module) {
  nb::class_<training::Dataset>(module, "Dataset", "Rows of named inputs and targets, copied.")
      .def("__init__", &create, "inputs"_a, "targets"_a, "max_bytes"_a,
           nb::sig("def __init__(self, inputs: list[tuple[str, numpy.typing.NDArray[typing.Any]]], targets: "
                   "list[tuple[str, numpy.typing.NDArray[typing.Any]]], max_bytes: int) -> None"))
      .def("split", &split, "fractions"_a, "seed"_a,
           nb::sig("def split(self, fractions: list[float], seed: int) -> list[Dataset]"))
      .def("__len__", &training::Dataset::size);
}

}  // namespace wasmgrad::bindings
